//! What the tests share: an issuer, a movable clock, a proxy, HTTP.

use super::*;
use ca::issuer::Issued;
use ca::{CertificateRequest, IssueError, Root, RootIssuer};
use daemon::clock::Clock;
use futures_util::future::BoxFuture;
use identity::{Expect, Key, Svid};
use model::{Resource, ResourceKey, Subscription, TrustDomain};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use xds::grpc::{Channel, Join, Joined};
use xds::link::Link;
use xds::proto::ProxyNode;

pub(crate) const MESH: &str = "
apiVersion: leno.dev/v1alpha1
kind: MeshSettings
metadata: { name: default }
spec:
  trustDomain: leno.demo
  dns: { suffixes: [mesh.internal] }
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: web, namespace: default }
spec:
  metadata: { labels: { app: web } }
  template: { serviceAccount: web }
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: client, namespace: default }
spec:
  metadata: { labels: { app: client } }
  template: { serviceAccount: client }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
---
apiVersion: leno.dev/v1alpha1
kind: GlobalService
metadata: { name: web, namespace: default }
spec:
  hosts: [web.mesh.internal]
  backends: [{ service: { name: web } }]
";

pub(crate) const WEB: &str = "web.default.svc.cluster.local";

/// Waits for a state; fails after a generous time.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        tokio::task::yield_now().await;
    }
}

/// The machine's clock, set forward by the test.
#[derive(Default)]
pub(crate) struct Movable(Mutex<Duration>);

impl Movable {
    pub(crate) fn forward(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Movable {
    fn now(&self) -> Instant {
        Instant::now() + *self.0.lock().unwrap()
    }
    fn wall(&self) -> SystemTime {
        SystemTime::now() + *self.0.lock().unwrap()
    }
}

/// Signs for one cluster, after a while on the bench's clock.
pub(crate) struct TestRoot(pub Root, pub &'static str, pub Arc<Movable>, pub Duration);

impl RootIssuer for TestRoot {
    fn sign_intermediate<'a>(
        &'a self,
        _: &'a str,
        request: CertificateRequest<'a>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>> {
        self.2.forward(self.3);
        let chain = self.0.sign_intermediate(request.csr, self.1, self.life()).unwrap();
        Box::pin(std::future::ready(Ok(self.issued(chain))))
    }
    fn sign_leaf<'a>(&'a self, request: CertificateRequest<'a>) -> BoxFuture<'a, Result<Issued, IssueError>> {
        let id = model::SpiffeId::parse("spiffe://leno.demo/ns/leno-system/sa/manager").unwrap();
        let chain = self.0.sign_leaf(request.csr, &id, Duration::from_secs(600)).unwrap();
        Box::pin(std::future::ready(Ok(self.issued(chain))))
    }
}

impl TestRoot {
    /// Ten minutes by the bench's clock; a root counts from the machine's.
    fn life(&self) -> Duration {
        Duration::from_secs(600) + *self.2.0.lock().unwrap()
    }

    fn issued(&self, chain: Vec<Vec<u8>>) -> Issued {
        Issued {
            chain,
            bundles: vec![self.0.bundle()],
            id: None,
            trust_domain: self.0.trust_domain().clone(),
        }
    }
}

/// A directory with configuration and state, and a root.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub root: Root,
    pub clock: Arc<Movable>,
    /// How long the next control plane waits for its signing certificate.
    pub signing_takes: Mutex<Duration>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let root =
            Root::generate(TrustDomain::parse("leno.demo").unwrap(), Duration::from_secs(86_400)).unwrap();
        let bench = Self {
            dir: tempfile::tempdir().unwrap(),
            root,
            clock: Arc::default(),
            signing_takes: Mutex::default(),
        };
        std::fs::create_dir(bench.config()).unwrap();
        std::fs::write(bench.config().join("mesh.yaml"), MESH).unwrap();
        bench
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn start(&self) -> ControlPlane {
        self.start_cluster("west", &self.config(), None).await
    }

    pub(crate) async fn start_cluster(
        &self,
        cluster: &'static str,
        config: &Path,
        manager: Option<SocketAddr>,
    ) -> ControlPlane {
        self.start_with(cluster, Options { manager, ..self.options(cluster, config) }).await
    }

    pub(crate) fn options(&self, cluster: &str, config: &Path) -> Options {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        Options {
            cluster: cluster.into(),
            config: Some(config.into()),
            config_fallback: Vec::new(),
            state_dir: self.dir.path().join(cluster),
            issuer: Default::default(),
            intermediate: Default::default(),
            listen: any,
            api: vec![BindAddress::Unix(self.dir.path().join(format!("{cluster}.sock")))],
            api_access: Default::default(),
            metrics: any,
            manager: None,
            certificate_ttl_s: 600,
            renewal_grace_s: 3600,
        }
    }

    pub(crate) async fn start_with(&self, cluster: &'static str, options: Options) -> ControlPlane {
        let wait = std::mem::take(&mut *self.signing_takes.lock().unwrap());
        let issuer = TestRoot(self.root.clone(), cluster, self.clock.clone(), wait);
        let seams = Seams { clock: self.clock.clone(), issuer: Some(Arc::new(issuer)) };
        start(options, seams).await.unwrap()
    }
}

/// Where its API is.
pub(crate) fn api(running: &ControlPlane) -> BindAddress {
    running.api[0].clone()
}

/// One HTTP/1.1 exchange: status and body.
pub(crate) async fn http(at: impl Into<BindAddress>, method: &str, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let answer = match at.into() {
        BindAddress::Tcp(address) => {
            exchange(tokio::net::TcpStream::connect(address).await.unwrap(), &text).await
        }
        BindAddress::Unix(path) => {
            exchange(tokio::net::UnixStream::connect(path).await.unwrap(), &text).await
        }
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

pub(crate) async fn get_json(at: impl Into<BindAddress>, path: &str) -> Value {
    let (status, body) = http(at, "GET", path, "").await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// The value of a metric without labels.
pub(crate) async fn metric(running: &ControlPlane, name: &str) -> f64 {
    let (_, body) = http(running.metrics, "GET", "/metrics", "").await;
    let line =
        body.lines().find(|line| line.split([' ', '{']).next() == Some(name) && !line.starts_with('#'));
    line.unwrap_or_else(|| panic!("no {name} in {body}")).rsplit(' ').next().unwrap().parse().unwrap()
}

pub(crate) async fn token(running: &ControlPlane, group: &str) -> String {
    let path = format!("/apis/networking.istio.io/v1/namespaces/default/workloadgroups/{group}/token");
    let (status, body) = http(api(running), "POST", &path, "").await;
    assert_eq!(status, 201, "{body}");
    let value: Value = serde_json::from_str(&body).unwrap();
    value["token"].as_str().unwrap().to_owned()
}

pub(crate) async fn try_join(
    bench: &Bench,
    running: &ControlPlane,
    token: &str,
) -> Result<(Joined, Key), xds::Status> {
    let nobody = Identity::new(Vec::new());
    let tls = nobody.client_config(Expect::PinnedRoot(bench.root.pin()), &[b"h2"]);
    let channel = Channel::connect(running.control, tls).await?;
    let key = Key::generate().unwrap();
    let address = "10.244.0.7".parse().unwrap();
    let join = Join {
        token: token.into(),
        csr: key.csr().unwrap(),
        addresses: vec![address],
        version: "test".into(),
    };
    channel.join(&join).await.map(|joined| (joined, key))
}

/// A proxy: an identity, a session, and what it holds.
pub(crate) struct Proxy {
    pub identity: Identity,
    pub joined: Joined,
    pub session: xds::client::ClientSession,
    pub held: BTreeMap<String, Resource>,
    pub channel: Option<Channel>,
    link: Option<Link>,
    /// Resources received since the last connect.
    pub received: usize,
}

impl Proxy {
    pub(crate) async fn join(bench: &Bench, running: &ControlPlane, group: &str) -> Self {
        let (joined, key) = try_join(bench, running, &token(running, group).await).await.unwrap();
        let identity = Identity::new(joined.bundles.clone());
        identity.install(Svid::new(key, joined.chain.clone()).unwrap());
        let session = xds::client::ClientSession::new();
        let mut proxy =
            Self { identity, joined, session, held: BTreeMap::new(), channel: None, link: None, received: 0 };
        proxy.connect(running).await;
        proxy
    }

    pub(crate) async fn connect(&mut self, running: &ControlPlane) {
        let control = self.joined.chain.len();
        assert_eq!(control, 3, "leaf, intermediate, root");
        let trust_domain = TrustDomain::parse("leno.demo").unwrap();
        let expect = Expect::Control { trust_domain, cluster: self.joined.cluster.as_str().into() };
        let tls = self.identity.client_config(expect, &[b"h2"]);
        let channel = Channel::connect(running.control, tls).await.unwrap();
        let link = channel.open_ads();
        let node = ProxyNode {
            uid: self.joined.uid.clone(),
            namespace: self.joined.namespace.clone(),
            group: self.joined.group.clone(),
            addresses: vec!["10.244.0.7".into()],
            version: "test".into(),
        };
        link.tx.send(self.session.on_connect(node)).await.unwrap();
        self.channel = Some(channel);
        self.link = Some(link);
        self.received = 0;
    }

    pub(crate) fn disconnect(&mut self) {
        self.session.on_disconnect();
        self.link = None;
        self.channel = None;
    }

    pub(crate) async fn subscribe(&mut self, host: &str) {
        let subscription = Subscription::Host(Hostname::parse(host).unwrap());
        let request = self.session.subscribe(&[subscription]);
        if let (Some(link), Some(request)) = (&self.link, request) {
            link.tx.send(request).await.unwrap();
        }
    }

    /// Takes the next response without confirming it; gives back its nonce.
    pub(crate) async fn take(&mut self) -> String {
        let link = self.link.as_mut().unwrap();
        let response = tokio::time::timeout(Duration::from_secs(30), link.rx.recv());
        let Ok(response) = response.await else {
            panic!(
                "no response within 30 s; held: {:?}",
                self.held.iter().filter(|(name, _)| !name.starts_with("trust")).collect::<Vec<_>>()
            )
        };
        let response = response.expect("stream ended").unwrap();
        self.received += response.resources.len();
        let update = self.session.on_response(response).unwrap();
        for (key, resource) in update.upserts {
            self.held.insert(key.to_string(), resource);
        }
        for key in update.removed {
            self.held.remove(&ResourceKey::to_string(&key));
        }
        update.nonce
    }

    pub(crate) async fn ack(&mut self, nonce: &str) {
        let request = self.session.ack(nonce, self.session.held_hash());
        self.link.as_ref().unwrap().tx.send(request).await.unwrap();
    }

    pub(crate) async fn nack(&mut self, nonce: &str, cause: &str) {
        let request = self.session.nack(nonce, cause.into());
        self.link.as_ref().unwrap().tx.send(request).await.unwrap();
    }

    /// Takes and confirms until what is held satisfies `done`.
    pub(crate) async fn run_until(&mut self, mut done: impl FnMut(&BTreeMap<String, Resource>) -> bool) {
        while !done(&self.held) {
            let nonce = self.take().await;
            self.ack(&nonce).await;
        }
    }

    /// The stream's end, when it must end.
    pub(crate) async fn ended(&mut self) -> Option<xds::Status> {
        let link = self.link.as_mut().unwrap();
        match tokio::time::timeout(Duration::from_secs(30), link.rx.recv()).await.expect("still open") {
            Some(Err(status)) => Some(status),
            Some(Ok(response)) => panic!("a response: {response:?}"),
            None => None,
        }
    }
}

/// `uid:state` of the endpoints of a host.
pub(crate) fn endpoints(held: &BTreeMap<String, Resource>, host: &str) -> Vec<String> {
    let prefix = format!("slice/{host}/");
    let slices = held.iter().filter(|(name, _)| name.starts_with(&prefix));
    let of = |resource: &Resource| match resource {
        Resource::Slice(slice) => {
            slice.endpoints.iter().map(|e| format!("{}:{:?}", e.uid, e.state)).collect()
        }
        _ => Vec::new(),
    };
    slices.flat_map(|(_, resource)| of(resource)).collect()
}

/// The status entry of a proxy.
pub(crate) async fn status_of(running: &ControlPlane, uid: &str) -> Value {
    let status = get_json(api(running), "/leno/v1/status").await;
    let proxies = status["proxies"].as_array().unwrap();
    proxies.iter().find(|proxy| proxy["uid"] == *uid).cloned().unwrap_or(Value::Null)
}
