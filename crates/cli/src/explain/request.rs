//! `leno explain request`: what becomes of a request under the configuration in files, without a cluster. Files
//! are translated as a control plane would, and `decide` is asked as a proxy would.

use crate::console::Console;
use crate::exit::{self, DATA, Failure, Outcome, USAGE};
use crate::{analyze, load, show};
use anyhow::Context;
use decide::authz::Facts;
use decide::explain::{Explanation, Verdict, explain};
use decide::route::Table;
use decide::{RequestView, host, listener};
use http::Uri;
use model::listener::{Gateway, Inbound};
use model::route::{Parent, RouteRule};
use model::{Hostname, Origin, Policy, Resource, SpiffeId, Subscription};
use std::fmt::Write;
use std::sync::Arc;
use translate::World;

/// Arguments of `explain request`.
#[derive(Debug, clap::Args)]
pub(crate) struct Request {
    /// Where to, for example http://shop.mesh.internal/cart?id=1
    #[arg(long, value_name = "URL")]
    to: Uri,
    /// Files or directories
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true)]
    filename: Vec<String>,
    /// Which workload group calls; without it nobody has proved anything
    #[arg(long, value_name = "NAMESPACE/GROUP")]
    from: Option<String>,
    /// By which gateway it enters; without it, it is a call between workloads
    #[arg(long, value_name = "NAMESPACE/NAME")]
    gateway: Option<String>,
    /// Method
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// Header, as `name: value`; may be repeated
    #[arg(short = 'H', long = "header")]
    headers: Vec<String>,
}

/// The rules that a request meets where it comes in.
struct Entrance {
    table: Table,
    called: Option<Hostname>,
    port: u16,
}

pub(super) fn run(args: &Request, console: &mut Console) -> Outcome {
    let loaded = load::load(&args.filename)?;
    show::findings(console, &loaded.findings, |file| loaded.text_of(file));
    if loaded.has_errors() {
        return Err(Failure::new(DATA, "the files have errors"));
    }
    let world = analyze::world(&loaded.objects)?;
    let caller = match &args.from {
        Some(name) => Some(identity(&world, name)?),
        None => None,
    };
    let authority = args.to.authority().and_then(|given| host::authority(given.as_str()));
    let authority = authority.ok_or_else(|| Failure::new(USAGE, "--to is no URL with a host"))?;
    let entrance = enter(args, &world, &authority)?;
    let mut headers = Vec::new();
    for header in &args.headers {
        let (name, value) = header.split_once(':').context("a header is `name: value`")?;
        headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
    let view = RequestView {
        method: &args.method,
        host: &authority,
        path: args.to.path(),
        query: args.to.query(),
        headers: &headers,
    };
    let ask = |policies: &[Arc<Policy>], port| {
        let facts = Facts { peer: caller.as_ref(), peer_ip: None, port, http: None };
        explain(&entrance.table, entrance.called.as_ref(), entrance.port, &view, policies, &facts)
    };
    let way = ask(&[], entrance.port);
    let mut text = describe_way(&way);
    let mut is_denied = false;
    for callee in callees(&world, &way) {
        let told = ask(&callee.policies, callee.port);
        is_denied |= told.authorization != Verdict::Allowed;
        describe_callee(&mut text, &callee.group, &told);
    }
    console.data(&text);
    Ok(if is_denied || way.refusal.is_some() { exit::FAILED } else { exit::OK })
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
        let is_own =
            |rule: &RouteRule| matches!(&rule.parent, Parent::Service { host, .. } if *host == called);
        let table = Table::compile(rules(&resources).filter(|rule| is_own(rule)));
        return Ok(Entrance { table, called: Some(called), port });
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
    let index = listener::gateway_listener(gateway, port, authority)
        .ok_or_else(|| Failure::new(USAGE, format!("no listener of it serves {authority} at port {port}")))?;
    let entered = &gateway.listeners[index].name;
    let is_own = |rule: &RouteRule| matches!(&rule.parent, Parent::Gateway { listener, .. } if listener.is_empty() || listener == entered);
    let table = Table::compile(rules(&resources).filter(|rule| is_own(rule)));
    Ok(Entrance { table, called: None, port })
}

fn resources(subscription: &Subscription, world: &World) -> Vec<Resource> {
    let keys = translate::members(subscription, world);
    keys.iter().filter_map(|key| Some(translate::resource(key, world)?.resource)).collect()
}

fn rules(resources: &[Resource]) -> impl Iterator<Item = Arc<RouteRule>> {
    resources.iter().filter_map(|resource| match resource {
        Resource::Rule(rule) => Some(Arc::new(rule.clone())),
        _ => None,
    })
}

/// A group that may receive it.
struct Callee {
    /// `namespace/name`.
    group: String,
    /// The application's.
    port: u16,
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
        let (mut inbound, mut policies) = (None::<Inbound>, Vec::new());
        for resource in resources(&subscription, world) {
            match resource {
                Resource::Inbound(found) => inbound = Some(found),
                Resource::Policy(policy) => policies.push(Arc::new(policy)),
                _ => {}
            }
        }
        let Some(inbound) = inbound else { continue };
        let is_asked = |(host, port): &(Hostname, u16)| {
            way.backends.iter().any(|backend| backend.host.as_ref() == Some(host) && backend.port == *port)
        };
        if let Some(port) = inbound.ports.iter().find(|port| port.names.iter().any(is_asked)) {
            let group = format!("{}/{}", inbound.namespace, inbound.group);
            callees.push(Callee { group, port: port.port, policies });
        }
    }
    callees
}

fn describe_way(way: &Explanation) -> String {
    let mut text = String::new();
    let rule = match &way.rule {
        Some((origin, index)) => format!("rule {index} of {}", place(origin)),
        None => "none".to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "path      {}", way.path.as_deref().unwrap_or("refused"));
    let _ = writeln!(text, "route     {rule}");
    for backend in &way.backends {
        let host = backend.host.as_ref().map_or("a reference to nothing (500)", Hostname::as_str);
        let _ = writeln!(text, "backend   {:.0} % to {host}:{}", backend.share * 100.0, backend.port);
    }
    if let Some(reason) = way.refusal {
        let row = reason.row();
        let _ = writeln!(text, "ends      {} {}: {}", row.status, row.code, row.advice);
    }
    text
}

fn describe_callee(text: &mut String, group: &str, told: &Explanation) {
    let verdict = match &told.authorization {
        Verdict::Allowed => "allowed".to_owned(),
        Verdict::DeniedBy(origin, rule) => format!("denied by rule {rule} of {}", place(origin)),
        Verdict::NotAllowed(policies) => {
            let policies: Vec<String> = policies.iter().map(place).collect();
            format!("denied: none of the ALLOW policies matches: {}", policies.join(", "))
        }
    };
    let _ = writeln!(text, "at        {group}: {verdict}");
    for origin in &told.recorded {
        let _ = writeln!(text, "          {} matches and is not enforced", place(origin));
    }
}

fn place(origin: &Origin) -> String {
    format!("{} ({}:{})", origin.object, origin.file, origin.line)
}

#[cfg(test)]
mod tests;
