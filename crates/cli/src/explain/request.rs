//! `leno explain request`: what becomes of a request under the configuration of a running control plane, or in
//! files without a cluster. Objects are translated as a control plane would, and `decide` is asked as the proxies
//! would be: at the gateway or the caller first, then, of what that sends, at each callee.

use crate::console::Console;
use crate::exit::{self, DATA, Failure, Outcome, USAGE};
use crate::remote::{self, Remote, Server};
use crate::status::PlaneStatus;
use crate::{analyze, load, naming, show};
use anyhow::Context;
use decide::authz::{Facts, RemoteIp};
use decide::consumer::ServiceRules;
use decide::explain::{Explanation, Judgement, Verdict, explain, judge};
use decide::filter::LocalReply;
use decide::forwarded::EntryPoint;
use decide::plan::Scope;
use decide::route::{SourceWorkload, Table};
use decide::{RequestView, forwarded, host, listener};
use http::{StatusCode, Uri};
use model::filter::{AbortStatus, FilterConfig, Fraction};
use model::listener::{Gateway, Inbound};
use model::mtls::{ModeOrigin, MtlsMode, TransportSecurity};
use model::route::{Parent, RouteRule};
use model::settings::HttpConnections;
use model::{Hostname, MeshSettings, Origin, Policy, Reason, Resource, SpiffeId, Subscription, TrustDomain};
use serde_json::Value;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use translate::World;

/// Arguments of `explain request`.
#[derive(Debug, clap::Args)]
pub(crate) struct Request {
    /// Where to, for example http://shop.mesh.internal/cart?id=1
    #[arg(long, value_name = "URL")]
    to: Uri,
    /// Files or directories; without any, the control plane is asked
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", conflicts_with = "server")]
    filename: Vec<String>,
    /// Which workload group calls; without it nobody has proved anything
    #[arg(long, value_name = "NAMESPACE/GROUP", conflicts_with = "gateway")]
    from: Option<String>,
    /// The caller has no proxy: it reaches the workload itself, in plaintext
    #[arg(long, conflicts_with_all = ["from", "gateway"])]
    plaintext: bool,
    /// Address that connects; without it, conditions on addresses count against the request
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// By which gateway it enters; without it, it is a call between workloads
    #[arg(long, value_name = "NAMESPACE/NAME")]
    gateway: Option<String>,
    /// Method
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// Header, as `name: value`; may be repeated
    #[arg(short = 'H', long = "header")]
    headers: Vec<String>,
    #[command(flatten)]
    server: Server,
}

/// The rules that a request meets where it comes in.
struct Entrance {
    table: Table,
    called: Option<Hostname>,
    port: u16,
    /// Of the gateway; a caller's own proxy asks none.
    policies: Vec<Arc<Policy>>,
}

pub(super) async fn run(args: &Request, console: &mut Console) -> Outcome {
    let world = match args.filename.is_empty() {
        true => running(&args.server.remote()?).await?,
        false => written(&args.filename, console)?,
    };
    let authority = args.to.authority().and_then(|given| host::authority(given.as_str()));
    let authority = authority.ok_or_else(|| Failure::new(USAGE, "--to is no URL with a host"))?;
    let caller = match &args.from {
        Some(name) => Some(identity(&world, name)?),
        None => None,
    };
    let entrance = enter(args, &world, &authority)?;
    let mut headers = Vec::new();
    for header in &args.headers {
        let (name, value) = header.split_once(':').context("a header is `name: value`")?;
        headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
    let settings = settings(&world);
    // As the gateway decides, and as it sends it on.
    let entered = args.gateway.as_ref().map(|_| enter_from_outside(&settings.http, args.ip, &mut headers));
    let remote_ip = match entered {
        Some(client) => client.map_or(RemoteIp::Peer, RemoteIp::Client),
        None => RemoteIp::Told(&settings.http),
    };
    let view = RequestView {
        method: &args.method,
        host: &authority,
        path: args.to.path(),
        readings: &[],
        query: args.to.query(),
        headers: &headers,
    };
    // From outside nobody has an identity; at the callee it is the gateway's, whose address nobody knows here.
    let outside = Facts { peer: None, peer_ip: args.ip, remote_ip, port: entrance.port, http: None };
    let Entrance { table, called, port, policies } = &entrance;
    let source = SourceWorkload::default();
    let scope = Scope { table, called: called.as_ref(), port: *port, source, policies, facts: outside };
    let way = explain(&scope, &view, settings.path);
    let (peer, peer_ip) = match &args.gateway {
        Some(gateway) => (identity(&world, gateway).ok(), None),
        None => (caller, args.ip),
    };
    let mut text = describe_way(args.gateway.as_deref(), &view, &way);
    let mut is_denied = false;
    if let Some(sent) = way.sent.as_ref().filter(|sent| sent.reply.is_none()) {
        for callee in callees(&world, &way) {
            describe_mode(&callee, &mut text);
            // A caller's proxy speaks what the callee takes.
            let is_plaintext = args.plaintext || callee.mtls.mode == MtlsMode::Disable;
            if is_plaintext && !callee.mtls.mode.takes(TransportSecurity::Plaintext) {
                is_denied = true;
                let row = Reason::Plaintext.row();
                let _ = writeln!(text, "at        {}: {}: {}", callee.group, row.code, row.advice);
                continue;
            }
            let (peer, remote_ip) =
                if is_plaintext { (None, RemoteIp::Peer) } else { (peer.as_ref(), remote_ip) };
            let facts = Facts { peer, peer_ip, remote_ip, port: callee.port, http: None };
            let told = judge(sent, &view, &callee.policies, &facts);
            is_denied |= told.verdict != Verdict::Allowed;
            describe("at", &callee.group, &told, &mut text);
        }
    }
    console.data(&text);
    Ok(if is_denied || way.refusal.is_some() { exit::FAILED } else { exit::OK })
}

/// The configuration in files.
fn written(paths: &[String], console: &mut Console) -> Result<World, Failure> {
    let loaded = load::load(paths)?;
    show::findings(console, &loaded.findings, |file| loaded.text_of(file));
    if loaded.has_errors() {
        return Err(Failure::new(DATA, "the files have errors"));
    }
    analyze::world(&loaded.objects)
}

/// The configuration of a running control plane: its objects, in its trust domain.
async fn running(remote: &Remote) -> Result<World, Failure> {
    let domain = match PlaneStatus::read(&remote.get("/leno/v1/status").await?)? {
        PlaneStatus::Control(status) => TrustDomain::parse(&status.trust_domain),
        PlaneStatus::Manager(_) => None,
    };
    let domain =
        domain.ok_or_else(|| Failure::new(exit::FAILED, "the server is no control plane of a cluster"))?;
    let mut objects = Vec::new();
    for kind in api::kinds::ALL {
        let answer = remote.call("GET", &naming::path(kind, None, None), None).await?;
        match answer.status() {
            StatusCode::OK => {}
            // An older one does not know all kinds, and has none of these.
            StatusCode::NOT_FOUND => continue,
            _ => return Err(remote::refusal(&answer)),
        }
        let list = remote::answer(&answer)?;
        objects.extend(list["items"].as_array().into_iter().flatten().flat_map(read));
    }
    analyze::world_in(&objects, Some(domain))
}

/// One object as the control plane has it in force; what is wrong with it was told when it came.
fn read(item: &Value) -> Vec<api::Object> {
    api::parse::documents(&item.to_string(), "").0
}

fn identity(world: &World, name: &str) -> Result<SpiffeId, Failure> {
    let (namespace, group) = name.split_once('/').unwrap_or(("default", name));
    let unknown = || Failure::new(USAGE, format!("there is no WorkloadGroup {namespace}/{group}"));
    world.identity(namespace, group).ok_or_else(unknown)
}

fn enter(args: &Request, world: &World, authority: &str) -> Result<Entrance, Failure> {
    let port = host::split_port(authority).1.unwrap_or(80);
    let Some(name) = &args.gateway else {
        let called = Hostname::parse(&host::canonical(authority));
        let called = called.ok_or_else(|| Failure::new(USAGE, "--to names no host"))?;
        let resources = resources(&Subscription::Host(called.clone()), world);
        if resources.is_empty() {
            return Err(Failure::new(USAGE, format!("no service is called {called}")));
        }
        // Rules are followed by the caller's proxy.
        let is_own = |rule: &RouteRule| {
            !args.plaintext && matches!(&rule.parent, Parent::Service { host, .. } if *host == called)
        };
        // Of whoever is not named, nobody knows the namespace.
        let namespace =
            args.from.as_ref().map_or("", |name| name.split_once('/').map_or("default", |(ns, _)| ns));
        let known = ServiceRules::<Table>::compile(rules(&resources).filter(|rule| is_own(rule)), namespace);
        let table = known.at(port).clone();
        return Ok(Entrance { table, called: Some(called), port, policies: Vec::new() });
    };
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    let subscription = Subscription::Gateway { namespace: namespace.into(), name: name.into() };
    let resources = resources(&subscription, world);
    let gateway = resources.iter().find_map(|resource| match resource {
        Resource::Gateway(gateway) => Some(gateway),
        _ => None,
    });
    let gateway: &Gateway =
        gateway.ok_or_else(|| Failure::new(USAGE, format!("there is no Gateway {namespace}/{name}")))?;
    // All listeners of a Gateway are on its address.
    let any = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    let address = gateway.listeners.first().and_then(|listener| listener.address).unwrap_or(any);
    let index = listener::gateway_listener(gateway, (address, port).into(), authority)
        .ok_or_else(|| Failure::new(USAGE, format!("no listener of it serves {authority} at port {port}")))?;
    let entered = &gateway.listeners[index].name;
    let is_own = |rule: &RouteRule| matches!(&rule.parent, Parent::Gateway { listener, .. } if listener.is_empty() || listener == entered);
    let table = Table::compile(rules(&resources).filter(|rule| is_own(rule)));
    Ok(Entrance { table, called: None, port, policies: policies(resources.clone()) })
}

/// The policies among what a subscription consists of.
fn policies(resources: Vec<Resource>) -> Vec<Arc<Policy>> {
    let policy = |resource| match resource {
        Resource::Policy(policy) => Some(Arc::new(policy)),
        _ => None,
    };
    resources.into_iter().filter_map(policy).collect()
}

fn resources(subscription: &Subscription, world: &World) -> Vec<Resource> {
    let keys = translate::members(subscription, world);
    keys.iter().filter_map(|key| translate::resource(key, world)).collect()
}

fn settings(world: &World) -> MeshSettings {
    let settings = resources(&Subscription::Mesh, world).into_iter().find_map(|resource| match resource {
        Resource::Settings(settings) => Some(settings),
        _ => None,
    });
    settings.unwrap_or_default()
}

/// Writes into the headers what a gateway makes of the word of `ip`, which connects; the result is the original
/// caller.
fn enter_from_outside(
    settings: &HttpConnections,
    ip: Option<IpAddr>,
    headers: &mut Vec<(String, String)>,
) -> Option<IpAddr> {
    let believed = ip.and_then(|ip| forwarded::believe(settings, EntryPoint::Gateway, ip, headers));
    headers.retain(|(name, _)| name != "x-forwarded-for" && name != "x-forwarded-proto");
    let (client, sent_on, scheme) = match believed {
        Some(told) => {
            (Some(told.client), Some(String::from_utf8_lossy(&told.forwarded_for).into_owned()), told.scheme)
        }
        None => (ip, ip.map(|ip| ip.to_string()), None),
    };
    headers.extend(sent_on.map(|text| ("x-forwarded-for".to_owned(), text)));
    // No listener speaks TLS yet.
    let scheme = scheme.unwrap_or(forwarded::Scheme::Http);
    headers.push(("x-forwarded-proto".to_owned(), scheme.as_str().to_owned()));
    client
}

fn rules(resources: &[Resource]) -> impl Iterator<Item = Arc<RouteRule>> {
    resources.iter().filter_map(|resource| match resource {
        Resource::Rule(rule) => Some(Arc::clone(rule)),
        _ => None,
    })
}

/// A group that may receive it.
struct Callee {
    /// `namespace/name`.
    group: String,
    /// The application's.
    port: u16,
    /// What that takes from callers.
    mtls: ModeOrigin,
    policies: Vec<Arc<Policy>>,
}

fn callees(world: &World, way: &Explanation) -> Vec<Callee> {
    let groups = world.objects().filter(|object| &*object.object.kind == "WorkloadGroup");
    let subscriptions = groups.map(|object| Subscription::Inbound {
        namespace: Arc::clone(&object.object.namespace),
        group: Arc::clone(&object.object.name),
    });
    let mut callees = Vec::new();
    for subscription in subscriptions {
        let resources = resources(&subscription, world);
        let inbound = resources.iter().find_map(|resource| match resource {
            Resource::Inbound(inbound) => Some(inbound.clone()),
            _ => None,
        });
        let Some(inbound): Option<Inbound> = inbound else { continue };
        let is_asked = |(host, port): &(Hostname, u16)| {
            way.backends.iter().any(|backend| backend.host.as_ref() == Some(host) && backend.port == *port)
        };
        if let Some(port) = inbound.ports.iter().find(|port| port.names.iter().any(is_asked)) {
            let group = format!("{}/{}", inbound.namespace, inbound.group);
            let mtls = world.mtls(&inbound.namespace, &inbound.group);
            let mtls = mtls.map(|mtls| mtls.at(port.port).clone()).unwrap_or_default();
            callees.push(Callee { group, port: port.port, mtls, policies: policies(resources) });
        }
    }
    callees
}

fn describe_way(gateway: Option<&str>, asked: &RequestView<'_>, way: &Explanation) -> String {
    let mut text = String::new();
    let rule = match &way.rule {
        Some((origin, index)) => format!("rule {index} of {}", place(origin)),
        None => "none".to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "path      {}", way.path.as_deref().unwrap_or("refused"));
    for reading in &way.readings {
        let _ = writeln!(text, "read as   {reading}");
    }
    if let (Some(gateway), Some(entry)) = (gateway, &way.entry) {
        describe("gateway", gateway, entry, &mut text);
    }
    if way.entry.as_ref().is_some_and(|entry| entry.verdict == Verdict::Allowed) {
        let _ = writeln!(text, "route     {rule}");
    }
    if let Some(sent) = &way.sent {
        let path = sent.path.as_deref();
        if path != way.path.as_deref() || sent.host != asked.host {
            let _ = writeln!(text, "sent      to {}, path {}", sent.host, path.unwrap_or("refused"));
        }
    }
    for backend in &way.backends {
        let host = backend.host.as_ref().map_or("a reference to nothing (500)", Hostname::as_str);
        let own = match (backend.has_filters, backend.share < 1.0) {
            (true, true) => ", with filters of its own, which are not shown here",
            (true, false) => ", with filters of its own",
            (false, _) => "",
        };
        let _ = writeln!(text, "backend   {:.0} % to {host}:{}{own}", backend.share * 100.0, backend.port);
    }
    for filter in &way.by_share {
        describe_share(filter, &mut text);
    }
    if let Some(reply) = &way.reply {
        let _ = writeln!(text, "ends      {}", answer(reply, ""));
    }
    if let Some(reply) = way.sent.as_ref().and_then(|sent| sent.reply.as_ref()) {
        let _ = writeln!(text, "ends      {}", answer(reply, " by the callee's proxy"));
    }
    if let Some(reason) = way.refusal {
        let row = reason.row();
        let _ = writeln!(text, "ends      {} {}: {}", row.status, row.code, row.advice);
    }
    text
}

/// What becomes of a share of the rule's requests.
fn describe_share(filter: &FilterConfig, text: &mut String) {
    let percent = |share: &Fraction| {
        format!("{:.4} %", 100.0 * f64::from(share.numerator) / f64::from(share.denominator.max(1)))
    };
    match filter {
        FilterConfig::Mirror(mirror) => {
            let _ = writeln!(text, "copies    {} to {}:{}", percent(&mirror.share), mirror.host, mirror.port);
        }
        FilterConfig::Fault(fault) => {
            if let Some(delay) = &fault.delay {
                let _ = writeln!(text, "fault     {} wait {:?}", percent(&delay.share), delay.fixed);
            }
            if let Some(abort) = &fault.abort {
                let (kind, status) = match abort.with {
                    AbortStatus::Http(status) => ("HTTP", status),
                    AbortStatus::Grpc(status) => ("gRPC", u16::from(status)),
                };
                let _ =
                    writeln!(text, "fault     {} fail with {kind} status {status}", percent(&abort.share));
            }
        }
        _ => {}
    }
}

/// An answer that no backend gives.
fn answer(reply: &LocalReply, by: &str) -> String {
    match reply.location() {
        Some(location) => format!("{}{by}: redirected to {location}", reply.status),
        None => format!("{}{by}: answered by a filter of the rule", reply.status),
    }
}

/// What a callee's port takes from its callers, where somebody has said so; else it is STRICT.
fn describe_mode(callee: &Callee, text: &mut String) {
    if let Some(origin) = &callee.mtls.origin {
        let (group, port, mode) = (&callee.group, callee.port, callee.mtls.mode.as_str());
        let _ = writeln!(text, "mtls      {group}, port {port}: {mode} by {}", place(origin));
    }
}

/// What policies say at one place.
fn describe(what: &str, name: &str, told: &Judgement, text: &mut String) {
    let verdict = match &told.verdict {
        Verdict::Allowed => "allowed".to_owned(),
        Verdict::Ambiguous => "refused: not all readings of the path are allowed, nor all denied".to_owned(),
        Verdict::DeniedBy(origin, rule) => format!("denied by rule {rule} of {}", place(origin)),
        Verdict::NotAllowed(policies) => {
            let policies: Vec<String> = policies.iter().map(place).collect();
            format!("denied: none of the ALLOW policies matches: {}", policies.join(", "))
        }
    };
    let _ = writeln!(text, "{what:<9} {name}: {verdict}");
    for origin in &told.recorded {
        let _ = writeln!(text, "          {} matches and is not enforced", place(origin));
    }
}

/// An object, and where it stands if that is a file.
fn place(origin: &Origin) -> String {
    match &*origin.file {
        "" => origin.object.to_string(),
        file => format!("{} ({file}:{})", origin.object, origin.line),
    }
}

#[cfg(test)]
mod tests;
