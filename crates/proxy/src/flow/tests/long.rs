//! Connections that outlive the certificates they were opened with: real sockets and real TLS, while hours pass.

use super::bed::{
    Application, Authority, Proxy, endpoints, exports, fresh_ip, inbound_port, native, service, story_within,
    through, wait_until,
};
use super::tunnel::{SERVICE_PORT, shake_hands, talk};
use crate::accept::{Mark, PeerKind, dial, listen};
use crate::options::Options;
use crate::proven::{Handshake, ProvenPeer};
use crate::request::HEADER_WORKLOAD;
use crate::testing::id;
use codec::{Body, SendErrorKind, Tunnel, http2};
use daemon::clock::Clock;
use filter::Chains;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Body as _;
use identity::Identity;
use model::service::{Endpoint, Protocol};
use model::trust::{Proof, Voucher};
use model::{Resource, ResourceKey};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(24 * 3600);
const SHORT: Duration = Duration::from_secs(600);

/// The time of everybody in a story, timers included.
#[derive(Clone, Default)]
pub(super) struct Hours(Arc<AtomicU64>);

impl Hours {
    /// Lets time pass while nobody does anything.
    pub(super) async fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::Relaxed);
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    fn passed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

impl Clock for Hours {
    fn now(&self) -> Instant {
        Instant::now() + self.passed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now() + self.passed()
    }
}

/// A registration with its certificates.
struct Workload {
    hours: Hours,
    authority: Authority,
    account: &'static str,
    uid: Option<String>,
    identity: Identity,
}

impl Workload {
    fn new(hours: &Hours, root: &Authority, cluster: &str, account: &'static str, uid: &str) -> Self {
        let clock = hours.clone();
        let authority = root.of_cluster(cluster);
        let identity = root.identity(account).with_wall(move || clock.wall());
        let uid = (!uid.is_empty()).then(|| uid.to_owned());
        Self { hours: hours.clone(), authority, account, uid, identity }
    }

    /// Has a new certificate from now on.
    fn certify(&self, life: Duration) {
        let svid = self.authority.svid_from(self.hours.wall(), life, self.account, self.uid.as_deref());
        self.identity.install(svid);
    }

    fn certified(self, life: Duration) -> Self {
        self.certify(life);
        self
    }

    fn proxy(&self, ip: IpAddr, cluster: &str, resources: Vec<(ResourceKey, Resource)>) -> Proxy {
        let options = Options { no_capture: true, ..Options::default() };
        let clock = Arc::new(self.hours.clone());
        Proxy::by_clock(clock, options, Chains::default(), ip, cluster, self.identity.clone(), resources)
    }
}

/// Whether bytes come back.
async fn echoes(io: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> bool {
    let mut heard = [0; 5];
    io.write_all(b"hello").await.is_ok() && io.read_exact(&mut heard).await.is_ok()
}

/// A workload of `east`, and whoever calls it by hand.
struct Callee {
    hours: Hours,
    root: Authority,
    proxy: Proxy,
}

impl Callee {
    fn start() -> Self {
        let ip = fresh_ip();
        Self::of(ip, Application::echo(ip).port(), Protocol::Tcp)
    }

    /// With an application of HTTP that does what the test does with its connections.
    fn by_hand() -> (Self, TcpListener) {
        let ip = fresh_ip();
        let listener = listen(SocketAddr::new(ip, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (Self::of(ip, port, Protocol::Http1), listener)
    }

    fn of(ip: IpAddr, port: u16, protocol: Protocol) -> Self {
        let (hours, root) = (Hours::default(), Authority::new());
        let shop = Workload::new(&hours, &root, "east", "shop", "east/default/shop-1").certified(LONG);
        let proxy = shop.proxy(ip, "east", vec![inbound_port(port, protocol)]);
        proxy.serve_mesh();
        Self { hours, root, proxy }
    }

    fn caller(&self, cluster: &str, account: &'static str, uid: &str) -> Workload {
        Workload::new(&self.hours, &self.root, cluster, account, uid)
    }

    async fn connect(&self, caller: &Workload) -> http2::Http2Sender {
        let mesh = SocketAddr::new(self.proxy.ip, model::address::PORT_MESH);
        let tcp = dial(mesh, PeerKind::Proxy, Mark::Free, MINUTE).await.unwrap();
        talk(shake_hands(&caller.identity, "shop", tcp).await.unwrap()).await.0
    }

    /// Proves itself with a new certificate, and goes away.
    async fn meet(&self, caller: &Workload, life: Duration) {
        caller.certify(life);
        self.connect(caller).await.settled().await;
    }

    async fn dig(&self, caller: &Workload) -> (http2::Http2Sender, Tunnel) {
        let sender = self.connect(caller).await;
        let tunnel = sender.tunnel(SERVICE_PORT, HeaderMap::new()).await.unwrap();
        (sender, tunnel)
    }
}

/// How a tunnel fares that was opened with a certificate for ten minutes by the client a of west, when `other` has
/// a fresh handshake.
async fn lives_past_the_hour(other: Option<(&str, &'static str, &str)>) -> bool {
    let callee = Callee::start();
    let client = callee.caller("west", "client", "west/default/client-a").certified(SHORT);
    let (_sender, mut tunnel) = callee.dig(&client).await;
    assert!(echoes(&mut tunnel).await);
    callee.hours.pass(9 * MINUTE).await;
    if let Some((cluster, account, uid)) = other {
        callee.meet(&callee.caller(cluster, account, uid), LONG).await;
    }
    for _ in 0..2 {
        assert!(echoes(&mut tunnel).await, "the hour stands for everybody");
        callee.hours.pass(30 * MINUTE).await;
    }
    assert!(echoes(&mut tunnel).await, "the hour stands for everybody");
    callee.hours.pass(2 * MINUTE).await;
    let lives = echoes(&mut tunnel).await;
    let reasons: Vec<_> =
        callee.proxy.logged().iter().map(|line| line["response_code_details"].clone()).collect();
    let expected = if lives { vec![] } else { vec!["peer_certificate_expired"] };
    assert_eq!(reasons, expected, "{other:?}");
    lives
}

#[test]
fn the_callee_goes_on_when_the_same_workload_proves_itself_anew_and_for_nobody_else() {
    story_within(LONG, async {
        assert!(lives_past_the_hour(Some(("west", "client", "west/default/client-a"))).await);
        for other in [
            None,
            Some(("west", "other", "west/default/client-a")),
            Some(("north", "client", "west/default/client-a")),
            Some(("west", "client", "west/default/client-b")),
            Some(("west", "client", "")),
        ] {
            assert!(!lives_past_the_hour(other).await, "{other:?}");
        }
    });
}

/// A proof is good for as long as its certificate, and the hour.
#[test]
fn the_callee_cuts_an_hour_after_the_last_proof() {
    story_within(LONG, async {
        let callee = Callee::start();
        let client = callee.caller("west", "client", "west/default/client-a").certified(SHORT);
        let (_sender, mut tunnel) = callee.dig(&client).await;
        callee.hours.pass(8 * MINUTE).await;
        // Until minute 28; the end is at 88.
        callee.meet(&client, 20 * MINUTE).await;
        for minutes in [30, 30, 19] {
            callee.hours.pass(minutes * MINUTE).await;
            assert!(echoes(&mut tunnel).await);
        }
        callee.hours.pass(2 * MINUTE).await;
        assert!(!echoes(&mut tunnel).await);
    });
}

/// Trusted from now on: this root, and another one if that is given.
fn trust(identity: &Identity, root: &Authority, other: Option<&Authority>) {
    let mut bundle = root.bundle();
    bundle.roots.extend(other.map(|other| other.bundle().roots).into_iter().flatten());
    identity.set_trust(vec![bundle]);
}

#[test]
fn a_root_that_is_trusted_no_longer_ends_at_once_what_it_vouched_for() {
    story_within(LONG, async {
        let callee = Callee::start();
        let client = callee.caller("west", "client", "west/default/client-a").certified(SHORT);
        let (_sender, mut tunnel) = callee.dig(&client).await;
        let (identity, other) = (&callee.proxy.worker.shared.identity, Authority::new());
        trust(identity, &callee.root, Some(&other));
        assert!(echoes(&mut tunnel).await, "it is trusted still");
        // Neither does it matter that the certificate is only good for what has begun.
        callee.hours.pass(30 * MINUTE).await;
        trust(identity, &callee.root, None);
        assert!(echoes(&mut tunnel).await, "it is trusted still");
        trust(identity, &other, None);
        assert!(!echoes(&mut tunnel).await);
        assert_eq!(callee.proxy.logged()[0]["response_code_details"], "peer_certificate_untrusted");
    });
}

/// A response of which nobody knows how long it is.
#[test]
fn a_response_goes_on_and_ends_like_a_tunnel() {
    story_within(LONG, async {
        let (callee, listener) = Callee::by_hand();
        let client = callee.caller("west", "client", "west/default/client-a").certified(SHORT);
        let sender = callee.connect(&client).await;
        let request =
            Request::get("/watch").header("host", "shop").header("x-leno-destination", SERVICE_PORT);
        let request = request.body(Body::empty()).unwrap();
        let (response, accepted) = tokio::join!(sender.send(request), async {
            let (mut application, _) = listener.accept().await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
            application.write_all(head).await.unwrap();
            application
        });
        let (mut body, mut application) = (response.unwrap().into_body(), accepted);
        callee.hours.pass(9 * MINUTE).await;
        // Until minute 29; the end is at 89.
        callee.meet(&client, 20 * MINUTE).await;
        for (minutes, goes_on) in [(30, true), (30, true), (19, true), (2, false)] {
            callee.hours.pass(minutes * MINUTE).await;
            let written = application.write_all(b"x").await.is_ok();
            let heard = next(&mut body).await;
            assert_eq!((heard.as_deref(), goes_on), (goes_on.then_some(&b"x"[..]), goes_on && written));
        }
    });
}

/// The next bytes of a body; `None`: it broke.
async fn next(body: &mut Body) -> Option<bytes::Bytes> {
    let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    frame.ok()?.into_data().ok()
}

/// A caller's proxy in west, and two workloads behind a gateway in east. The caller's application has one tunnel.
struct Pair {
    hours: Hours,
    client: Workload,
    gateway: Workload,
    shops: [Workload; 2],
    proxy: Proxy,
    gateway_proxy: Proxy,
    /// Serve as long as they are held.
    _callees: [Proxy; 2],
}

fn uid(endpoint: &Endpoint) -> &str {
    &endpoint.uid
}

impl Pair {
    fn start() -> Self {
        let (hours, root) = (Hours::default(), Authority::new());
        let ips = [fresh_ip(), fresh_ip()];
        let known = ips.map(|ip| native("east", ip));
        let shops = [0, 1].map(|at| Workload::new(&hours, &root, "east", "shop", uid(&known[at])));
        let callees = [0, 1].map(|at| {
            let echo = Application::echo(ips[at]);
            shops[at].certify(SHORT);
            let proxy = shops[at].proxy(ips[at], "east", vec![inbound_port(echo.port(), Protocol::Tcp)]);
            proxy.serve_mesh();
            proxy
        });
        let gateway = Workload::new(&hours, &root, "east", "eastwest", "east/default/eastwest-1");
        let gateway = gateway.certified(SHORT);
        let known = vec![exports(), service(Protocol::Tcp), endpoints(known.into())];
        let gateway_proxy = gateway.proxy(fresh_ip(), "east", known);
        gateway_proxy.serve_mesh();
        let client = Workload::new(&hours, &root, "west", "client", "west/default/client-1").certified(SHORT);
        let known = vec![service(Protocol::Tcp), endpoints(vec![through("east", gateway_proxy.ip)])];
        let proxy = client.proxy(fresh_ip(), "west", known);
        Self { hours, client, gateway, shops, proxy, gateway_proxy, _callees: callees }
    }

    /// Has the caller's worker look after its connections, as it always does.
    fn sweep(&self) {
        let worker = Rc::clone(&self.proxy.worker);
        tokio::task::spawn_local(async move { worker.sweep().await });
    }

    /// What the caller knows of a peer that it has a connection to.
    fn known(&self, workload: &Workload) -> Arc<ProvenPeer> {
        let (begins, expires) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
        let voucher = Voucher::Cluster("east".into());
        let uid = workload.uid.as_deref().map(Into::into);
        let proof = Proof { id: id(workload.account), voucher, uid, begins, expires };
        let (certificates, expires) = (Vec::new(), tokio::time::Instant::now());
        let nothing = Handshake { certificates, expires, trust: 0 };
        Arc::clone(self.proxy.worker.shared.proven.record(&proof, nothing).peer())
    }

    /// Whether one of those has to prove itself anew.
    fn is_due(&self, peers: &[Arc<ProvenPeer>]) -> bool {
        peers.iter().any(|peer| peer.is_handshake_due(self.proxy.worker.tls.own_expires()))
    }
}

#[test]
fn a_caller_with_one_long_tunnel_proves_itself_through_the_gateway_once_a_renewal() {
    const RENEWALS: usize = 30;
    story_within(LONG, async {
        let pair = Pair::start();
        pair.sweep();
        let mut tunnel = pair.proxy.call_tcp();
        assert!(echoes(&mut tunnel).await);
        let peers: Vec<_> = [&pair.gateway, &pair.shops[0], &pair.shops[1]].map(|of| pair.known(of)).into();
        // That of the workload that it is not connected to has nothing to prove.
        let peers: Vec<_> = peers
            .into_iter()
            .filter(|peer| !peer.is_handshake_due(pair.proxy.worker.tls.own_expires()))
            .collect();
        assert_eq!(peers.len(), 2);
        for renewal in 0..RENEWALS {
            pair.hours.pass(5 * MINUTE).await;
            for workload in [&pair.client, &pair.gateway, &pair.shops[0], &pair.shops[1]] {
                workload.certify(SHORT);
            }
            wait_until("all have proved themselves", || !pair.is_due(&peers)).await;
            assert!(echoes(&mut tunnel).await, "after {renewal}");
        }
        drop(tunnel);
        let tunnels = pair.gateway_proxy.logged().len();
        assert!((RENEWALS / 2..=RENEWALS + 1).contains(&tunnels), "{tunnels} through the gateway");
    });
}

/// The control run: nobody sees to proofs.
#[test]
fn without_fresh_handshakes_the_gateway_cuts_at_the_hour() {
    story_within(LONG, async {
        let pair = Pair::start();
        let mut tunnel = pair.proxy.call_tcp();
        for minutes in [30, 30, 9] {
            assert!(echoes(&mut tunnel).await);
            pair.hours.pass(minutes * MINUTE).await;
        }
        assert!(echoes(&mut tunnel).await);
        pair.hours.pass(2 * MINUTE).await;
        assert!(!echoes(&mut tunnel).await);
        assert_eq!(pair.gateway_proxy.logged()[0]["response_code_details"], "peer_certificate_expired");
    });
}

/// Callees of which the caller cannot know any longer who they are.
#[test]
fn the_caller_cuts_when_the_callee_does_not_prove_itself_anew() {
    story_within(LONG, async {
        let pair = Pair::start();
        pair.sweep();
        pair.client.certify(LONG);
        pair.gateway.certify(LONG);
        let mut tunnel = pair.proxy.call_tcp();
        for minutes in [30, 30, 9] {
            assert!(echoes(&mut tunnel).await);
            pair.hours.pass(minutes * MINUTE).await;
        }
        assert!(echoes(&mut tunnel).await);
        pair.hours.pass(2 * MINUTE).await;
        assert!(!echoes(&mut tunnel).await);
        let lines = pair.proxy.logged();
        assert_eq!(lines[0]["response_code_details"], "upstream_reset_after_response_started");
    });
}

#[test]
fn the_caller_cuts_at_once_whom_it_trusts_no_longer() {
    story_within(LONG, async {
        let pair = Pair::start();
        let mut tunnel = pair.proxy.call_tcp();
        assert!(echoes(&mut tunnel).await);
        trust(&pair.client.identity, &Authority::new(), None);
        assert!(!echoes(&mut tunnel).await);
    });
}

/// The gateway gives a caller the workload that it names, or none.
#[test]
fn a_gateway_takes_a_tunnel_to_the_workload_that_is_named_and_to_no_other() {
    story_within(LONG, async {
        let pair = Pair::start();
        let mesh = SocketAddr::new(pair.gateway_proxy.ip, model::address::PORT_MESH);
        let tcp = dial(mesh, PeerKind::Proxy, Mark::Free, MINUTE).await.unwrap();
        let tls = shake_hands(&pair.client.identity, "eastwest", tcp).await.unwrap();
        let (outer, _driver) = talk(tls).await;
        let first = pair.shops[0].uid.as_deref().unwrap();
        for (named, expected) in [
            (vec![], None),
            (vec![first], None),
            // Nothing was sent yet: the caller may ask another gateway.
            (vec!["east/default/shop-gone"], Some(SendErrorKind::Refused)),
            (vec![first, first], Some(SendErrorKind::Status(400))),
            (vec!["caf\u{e9}"], Some(SendErrorKind::Status(400))),
        ] {
            let value = |uid: &&str| HeaderValue::from_bytes(uid.as_bytes()).unwrap();
            let headers = named.iter().map(|uid| (HEADER_WORKLOAD, value(uid))).collect();
            let refused = outer.tunnel(SERVICE_PORT, headers).await.err().map(|error| error.kind);
            assert_eq!(refused, expected, "{named:?}");
        }
    });
}
