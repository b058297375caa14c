//! Proxies, applications and callers for the stories.

use crate::accept::{Mark, PeerKind, dial, listen};
use crate::dns::{Forwarder, NameCache};
use crate::flow::inbound::plaintext;
use crate::flow::{self, inbound};
use crate::listening::Listening;
use crate::lookup::Lookup;
use crate::observe::{AccessLog, Observe, Own};
use crate::options::Options;
use crate::shared::Shared;
use crate::snapshot::{HostEntry, LocalNode, Retries, SnapshotChange, SnapshotStore};
use crate::testing::{host, id};
use crate::worker::{Worker, WorkerSnapshot};
use codec::{Body, Reply, ServerOptions, http1};
use daemon::clock::{Clock, System};
use daemon::{Drain, DrainTrigger, Readiness};
use decide::balance::ProxyLocality;
use filter::Chains;
use http::{Request, Response};
use identity::Identity;
use model::authz::Cidr;
use model::listener::{Exports, Inbound, InboundPort};
use model::mtls::{InboundMtls, MtlsMode};
use model::service::{
    Endpoint, EndpointProfile, EndpointSlice, EndpointState, Protocol, Reach, Service, ServicePort,
};
use model::settings::{Egress, EgressMode};
use model::{Locality, MeshSettings, Resource, ResourceKey};
use std::cell::Cell;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::LocalSet;

pub(super) use super::authority::Authority;

pub(super) const SERVICE: &str = "shop.mesh.internal";
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Runs a story on one thread.
pub(super) fn story(story: impl Future<Output = ()>) {
    story_within(SOON * 3, story);
}

/// The same, where more time may pass.
pub(super) fn story_within(limit: Duration, story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { tokio::time::timeout(limit, story).await.unwrap() });
}

/// Waits until `is_so`; states change by themselves here.
pub(super) async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "{what}");
}

/// A loopback address that no other story uses; mesh ports are fixed, so addresses must differ.
pub(super) fn fresh_ip() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    IpAddr::V4(Ipv4Addr::new(127, 1 + (process % 250) as u8, 1 + (process / 250 % 250) as u8, next as u8))
}

/// What may leave, where applications outside the mesh are on the loopback as well, and names lead there.
pub(super) fn egress_to_loopback(mode: EgressMode) -> (ResourceKey, Resource) {
    let allowed_metadata = vec![Cidr::parse("127.0.0.0/8").unwrap(), Cidr::parse("::1").unwrap()];
    let egress = Egress { mode, allowed_metadata };
    (ResourceKey::Settings, Resource::Settings(MeshSettings { egress, ..MeshSettings::default() }))
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl daemon::lines::Sink for Sink {}

/// What a proxy takes from outside itself.
struct Surroundings {
    clock: Arc<dyn Clock>,
    name_servers: Vec<SocketAddr>,
}

/// A proxy with one worker and no listeners yet.
pub(super) struct Proxy {
    pub(super) worker: Rc<Worker>,
    pub(super) ip: IpAddr,
    pub(super) drain: Drain,
    pub(super) trigger: DrainTrigger,
    log: Sink,
}

impl Proxy {
    pub(super) fn new(cluster: &str, identity: Identity, resources: Vec<(ResourceKey, Resource)>) -> Self {
        Self::at(fresh_ip(), cluster, identity, resources)
    }

    pub(super) fn at(
        ip: IpAddr,
        cluster: &str,
        identity: Identity,
        resources: Vec<(ResourceKey, Resource)>,
    ) -> Self {
        let options = Options { no_capture: true, ..Options::default() };
        Self::with(options, Chains::default(), ip, cluster, identity, resources)
    }

    pub(super) fn with(
        options: Options,
        filters: Chains,
        ip: IpAddr,
        cluster: &str,
        identity: Identity,
        resources: Vec<(ResourceKey, Resource)>,
    ) -> Self {
        Self::by_clock(Arc::new(System), options, filters, ip, cluster, identity, resources)
    }

    /// A gateway or sidecar that asks this name server for names outside the mesh.
    pub(super) fn asking(name_server: SocketAddr, resources: Vec<(ResourceKey, Resource)>) -> Self {
        let surroundings = Surroundings { clock: Arc::new(System), name_servers: vec![name_server] };
        let options = Options { no_capture: true, ..Options::default() };
        let identity = Identity::new(Vec::new());
        Self::amid(surroundings, options, Chains::default(), fresh_ip(), "west", identity, resources)
    }

    pub(super) fn by_clock(
        clock: Arc<dyn Clock>,
        options: Options,
        filters: Chains,
        ip: IpAddr,
        cluster: &str,
        identity: Identity,
        resources: Vec<(ResourceKey, Resource)>,
    ) -> Self {
        // Nobody answers there.
        let name_servers = vec![SocketAddr::from(([127, 0, 0, 1], 1))];
        let surroundings = Surroundings { clock, name_servers };
        Self::amid(surroundings, options, filters, ip, cluster, identity, resources)
    }

    fn amid(
        Surroundings { clock, name_servers }: Surroundings,
        options: Options,
        filters: Chains,
        ip: IpAddr,
        cluster: &str,
        identity: Identity,
        resources: Vec<(ResourceKey, Resource)>,
    ) -> Self {
        let me = LocalNode {
            uid: ip.to_string().into(),
            namespace: "default".into(),
            group: "test".into(),
            network: cluster.into(),
            place: ProxyLocality { cluster: cluster.into(), locality: Locality::default() },
            addresses: vec![ip],
        };
        let store = SnapshotStore::new(&me);
        store.apply(SnapshotChange { upserts: resources, ..SnapshotChange::default() });
        let (trigger, drain) = Drain::new();
        let log = Sink::default();
        let access_log = AccessLog::start(log.clone()).unwrap();
        let shared = Arc::new(Shared {
            options,
            lookup: Lookup::new(Arc::clone(&store)).0,
            name_cache: NameCache::new(Arc::new(Forwarder::new(name_servers)), |_| true),
            me,
            store,
            observe: Observe::new(Arc::clone(&clock), Some(access_log)),
            probing: crate::probe::Probing::new(),
            identity,
            proven: Arc::default(),
            drain: drain.clone(),
            listening: Arc::new(Listening::new(1, Readiness::new().gate("workers"))),
            deliveries: Retries::default(),
            filters,
            clock,
        });
        let own = Own { id: shared.identity.id(), ..Own::default() };
        shared.observe.set_own(own);
        Self { worker: Worker::new(shared, 7), ip, drain, trigger, log }
    }

    pub(super) fn apply(&self, upserts: Vec<(ResourceKey, Resource)>) {
        self.worker.shared.store.apply(SnapshotChange { upserts, ..SnapshotChange::default() });
    }

    pub(super) fn snapshot(&self) -> WorkerSnapshot {
        self.worker.snapshot()
    }

    pub(super) fn entry(&self) -> Arc<HostEntry> {
        Arc::clone(self.snapshot().host(SERVICE).unwrap())
    }

    /// Accepts at its mesh port from now on; the answer ends when all connections have.
    pub(super) fn serve_mesh(&self) -> tokio::task::JoinHandle<()> {
        let listener = listen(SocketAddr::new(self.ip, model::address::PORT_MESH)).unwrap();
        let (worker, drain) = (Rc::clone(&self.worker), self.drain.clone());
        tokio::task::spawn_local(async move {
            let connections = daemon::Tasks::new();
            crate::accept::accept(listener, PeerKind::Proxy, drain.started(), |stream, peer| {
                connections
                    .spawn_local("mesh", inbound::mesh(Rc::clone(&worker), stream, peer, drain.clone()));
            })
            .await;
            connections.drain(SOON).await;
        })
    }

    /// Accepts from now on, at the address that is returned, as at the capture port: whoever connects has called
    /// `called`.
    pub(super) fn serve_captured(&self, called: SocketAddr) -> SocketAddr {
        let listener = listen(SocketAddr::new(self.ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (worker, drain) = (Rc::clone(&self.worker), self.drain.clone());
        tokio::task::spawn_local(async move {
            let connections = daemon::Tasks::new();
            crate::accept::accept(listener, PeerKind::Anyone, drain.started(), |stream, peer| {
                if let Some(to) = plaintext::admit_to(&worker, Some(called), peer) {
                    let serving = plaintext::serve(Rc::clone(&worker), stream, peer, to, drain.clone());
                    connections.spawn_local("plaintext", serving);
                }
            })
            .await;
        });
        address
    }

    /// A caller's connection to the service's port, as captured.
    pub(super) async fn call(&self) -> Client {
        let entry = self.entry();
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (worker, drain) = (Rc::clone(&self.worker), self.drain.clone());
        tokio::task::spawn_local(async move {
            flow::serve_service(&worker, theirs, caller(), &entry, 80, drain).await;
        });
        Client::over(ours).await
    }

    /// A caller's opaque connection to a TCP service's port.
    pub(super) fn call_tcp(&self) -> tokio::io::DuplexStream {
        let entry = self.entry();
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (worker, drain) = (Rc::clone(&self.worker), self.drain.clone());
        tokio::task::spawn_local(async move {
            flow::serve_service(&worker, theirs, caller(), &entry, 80, drain).await;
        });
        ours
    }

    /// A connection from outside to the gateway's listener at port 80.
    pub(super) async fn enter(&self) -> Client {
        Client::over(self.enter_raw()).await
    }

    /// The same as bytes.
    pub(super) fn enter_raw(&self) -> tokio::io::DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let serving = flow::gateway(
            Rc::clone(&self.worker),
            theirs,
            caller(),
            SocketAddr::from(([0, 0, 0, 0], 80)),
            self.drain.clone(),
        );
        tokio::task::spawn_local(serving);
        ours
    }

    /// Everything logged so far, one JSON value for each line. Ends the log.
    pub(super) fn logged(&self) -> Vec<serde_json::Value> {
        self.worker.shared.observe.finish();
        let text = String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn caller() -> SocketAddr {
    "192.0.2.7:4321".parse().unwrap()
}

/// A caller that speaks HTTP/1.1.
pub(super) struct Client(http1::Http1Sender);

impl Client {
    pub(super) async fn over(io: impl codec::Io + 'static) -> Self {
        let (sender, connection) = http1::connect(io).await.unwrap();
        tokio::task::spawn_local(connection);
        Self(sender)
    }

    /// Status, headers and body as text.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Response<String> {
        self.0.ready().await.unwrap();
        let (parts, body) = self.0.send(request).await.unwrap().into_parts();
        let bytes = body.collect(1 << 20).await.unwrap();
        Response::from_parts(parts, String::from_utf8(bytes.to_vec()).unwrap())
    }

    pub(super) async fn get(&mut self, path: &str) -> Response<String> {
        self.send(get(path)).await
    }

    /// The same, where there may be no answer.
    pub(super) async fn try_get(&mut self, path: &str) -> Result<(), codec::SendError> {
        self.0.ready().await?;
        self.0.send(get(path)).await.map(drop)
    }
}

pub(super) fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "shop.example").body(Body::empty()).unwrap()
}

/// An application: `answer` makes each response. Ends with the story.
pub(super) struct Application {
    pub(super) address: SocketAddr,
    /// Connections accepted.
    pub(super) connections: Rc<Cell<u32>>,
}

impl Application {
    pub(super) fn start(
        ip: IpAddr,
        answer: impl Fn(Request<Body>) -> Response<Body> + Clone + 'static,
    ) -> Self {
        Self::start_at(SocketAddr::new(ip, 0), answer)
    }

    fn start_at(at: SocketAddr, answer: impl Fn(Request<Body>) -> Response<Body> + Clone + 'static) -> Self {
        let listener = listen(at).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Rc::new(Cell::new(0));
        let counter = Rc::clone(&connections);
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.set(counter.get() + 1);
                let answer = answer.clone();
                tokio::task::spawn_local(async move {
                    let options = ServerOptions::default();
                    let service = |request| {
                        let answer = answer.clone();
                        async move { Reply::Response(answer(request)) }
                    };
                    let _ = http1::serve(stream, &options, std::future::pending(), service).await;
                });
            }
        });
        Self { address, connections }
    }

    /// Says its name, and what it was asked in a header.
    pub(super) fn named(ip: IpAddr, name: &'static str) -> Self {
        Self::named_at(SocketAddr::new(ip, 0), name)
    }

    /// The same at a port.
    pub(super) fn named_at(at: SocketAddr, name: &'static str) -> Self {
        Self::start_at(at, move |request| {
            let asked = format!("{} {}", request.method(), request.uri());
            let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
            Response::builder()
                .header("x-asked", asked)
                .header("x-names", names.join(" "))
                .body(Body::full(name))
                .unwrap()
        })
    }

    /// Echoes bytes.
    pub(super) fn echo(ip: IpAddr) -> SocketAddr {
        let listener = listen(SocketAddr::new(ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    /// A port on which nobody listens.
    pub(super) async fn nobody(ip: IpAddr) -> SocketAddr {
        let address = listen(SocketAddr::new(ip, 0)).unwrap().local_addr().unwrap();
        assert!(dial(address, PeerKind::Anyone, Mark::Free, SOON).await.is_err());
        address
    }
}

pub(super) fn service(protocol: Protocol) -> (ResourceKey, Resource) {
    let service = Service {
        host: host(SERVICE),
        namespace: "default".into(),
        name: "shop".into(),
        address: Some([240, 1, 2, 3].into()),
        ports: vec![ServicePort { port: 80, target_port: 8080, protocol, name: "".into() }],
        global: true,
        failover_order: Vec::new(),
        headless: None,
        external: None,
    };
    (ResourceKey::Service(host(SERVICE)), Resource::Service(service))
}

pub(super) fn endpoints(endpoints: Vec<Endpoint>) -> (ResourceKey, Resource) {
    let slice = EndpointSlice { host: host(SERVICE), index: 0, endpoints: endpoints.into() };
    (ResourceKey::Slice(host(SERVICE), 0), Resource::Slice(slice))
}

fn endpoint(reach: Reach, cluster: &str, address: IpAddr, port: u16) -> Endpoint {
    Endpoint {
        uid: format!("{cluster}/{address}:{port}").into(),
        address,
        port,
        weight: 1,
        state: EndpointState::Ready,
        profile: Arc::new(EndpointProfile {
            reach,
            cluster: cluster.into(),
            locality: Locality::default(),
            identities: vec![id("shop")],
            gateway_identity: None,
            plaintext_ports: Vec::new(),
        }),
    }
}

/// Runs the test called `name` again in a network of its own, where `10.244.0.0/24` and `fd00:244::1` to `::3` are this host; there,
/// `inside` is run. User namespaces must be allowed, as for the demo.
pub(super) fn in_own_network(name: &str, inside: impl FnOnce()) {
    const ENTERED: &str = "LENO_TEST_OWN_NETWORK";
    if std::env::var_os(ENTERED).is_some() {
        story(async { set_up_loopback().await });
        return inside();
    }
    let mut again = std::process::Command::new("unshare");
    again.args(["--user", "--map-root-user", "--net", "--"]).arg(std::env::current_exe().unwrap());
    let output = again.args([name, "--exact", "--nocapture"]).env(ENTERED, "1").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let is_run = told.contains("1 passed");
    assert!(output.status.success() && is_run, "{told}{}", String::from_utf8_lossy(&output.stderr));
}

async fn set_up_loopback() {
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    // The loopback is always the first interface.
    handle.address().add(1, "10.244.0.1".parse().unwrap(), 24).execute().await.unwrap();
    for own in ["fd00:244::1", "fd00:244::2", "fd00:244::3"] {
        handle.address().add(1, own.parse().unwrap(), 128).execute().await.unwrap();
    }
    let up = rtnetlink::LinkUnspec::new_with_index(1).up().build();
    handle.link().change(up).execute().await.unwrap();
}

pub(super) fn plain(address: SocketAddr) -> Endpoint {
    let mut endpoint = endpoint(Reach::Plain, "west", address.ip(), address.port());
    Arc::make_mut(&mut endpoint.profile).identities = Vec::new();
    endpoint
}

pub(super) fn native(cluster: &str, ip: IpAddr) -> Endpoint {
    endpoint(Reach::Native, cluster, ip, 0)
}

/// Through the gateway of `cluster`, which `ip` is.
pub(super) fn through(cluster: &str, ip: IpAddr) -> Endpoint {
    let mut endpoint = endpoint(Reach::Gateway, cluster, ip, model::address::PORT_MESH);
    Arc::make_mut(&mut endpoint.profile).gateway_identity = Some(id("eastwest"));
    endpoint
}

/// The inbound side of a workload whose application is at `port`.
pub(super) fn inbound_port(port: u16, protocol: Protocol) -> (ResourceKey, Resource) {
    inbound_mode(port, protocol, MtlsMode::Strict)
}

/// The same, where all ports are of this mode.
pub(super) fn inbound_mode(port: u16, protocol: Protocol, mode: MtlsMode) -> (ResourceKey, Resource) {
    let inbound = Inbound {
        namespace: "default".into(),
        group: "shop".into(),
        labels: Vec::new(),
        ports: vec![InboundPort { port, protocol, names: vec![(host(SERVICE), 80)] }],
        mtls: InboundMtls { mode, ..InboundMtls::default() },
        probe: None,
        capture: Vec::new(),
    };
    (ResourceKey::Inbound("default".into(), "shop".into()), Resource::Inbound(inbound))
}

pub(super) fn exports() -> (ResourceKey, Resource) {
    (ResourceKey::Exports, Resource::Exports(Exports { hosts: vec![(host(SERVICE), 80)] }))
}
