//! A management plane with real sockets, and control planes that are a certificate each.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::clusters::tests::cluster;
use crate::options::{Options, Seams};
use crate::start::{ManagementPlane, start};
use apiserver::ApiOptions;
use ca::issuer::Issued;
use ca::{CertificateRequest, IssueError, Root, RootIssuer, Signer};
use futures_util::future::BoxFuture;
use identity::{Expect, Identity, Key, Svid};
use model::BindAddress;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xds::grpc::Channel;
use xds::proto::ProxyNode;

const LIFE: Duration = Duration::from_secs(600);

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

/// Signs for the management plane.
struct Holder(Root);

impl RootIssuer for Holder {
    fn sign_intermediate<'a>(
        &'a self,
        _: &'a str,
        _: CertificateRequest<'a>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(std::future::ready(Err(IssueError::Malformed("not granted"))))
    }
    fn sign_leaf<'a>(&'a self, request: CertificateRequest<'a>) -> BoxFuture<'a, Result<Issued, IssueError>> {
        let id = id("spiffe://leno.demo/ns/leno-system/sa/manager");
        let chain = self.0.sign_leaf(request.csr, &id, LIFE).unwrap();
        let (bundles, trust_domain) = (vec![self.0.bundle()], self.0.trust_domain().clone());
        Box::pin(std::future::ready(Ok(Issued { chain, bundles, id: Some(id), trust_domain })))
    }
}

struct Bench {
    root: Root,
    running: ManagementPlane,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let root = Root::generate(TrustDomain::parse("leno.demo").unwrap(), 10 * LIFE).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let options = Options {
            listen: any,
            issuer: Default::default(),
            certificate: Default::default(),
            state_dir: dir.path().into(),
            api: vec![any.into()],
            api_access: ApiOptions { api_insecure_loopback: true, ..ApiOptions::default() },
            metrics: any,
        };
        let seams = Seams { issuer: Some(Arc::new(Holder(root.clone()))), ..Seams::default() };
        Self { root, running: start(options, seams).await.unwrap(), dir }
    }

    fn api(&self) -> SocketAddr {
        match self.running.api[..] {
            [BindAddress::Tcp(address)] => address,
            _ => panic!("{:?}", self.running.api),
        }
    }

    /// A connection of whoever holds `signer`, under any name that it likes.
    async fn connect(&self, signer: &Signer, name: &str) -> Channel {
        let key = Key::generate().unwrap();
        let chain = signer.sign(&key.csr().unwrap(), &id(name), LIFE).unwrap();
        let identity = Identity::new(vec![self.root.bundle()]);
        identity.install(Svid::new(key, chain).unwrap());
        let manager = id("spiffe://leno.demo/ns/leno-system/sa/manager");
        let tls = identity.client_config(Expect::OneOf(vec![manager]), &[b"h2"]);
        Channel::connect(self.running.control, tls).await.unwrap()
    }

    async fn control(&self, cluster: &str) -> Channel {
        let signer = self.root.intermediate(cluster, LIFE).unwrap();
        self.connect(&signer, "spiffe://leno.demo/ns/leno-system/sa/control").await
    }

    /// Permissions of what is in the state directory.
    fn modes(&self) -> Vec<u32> {
        let mode = |entry: std::io::Result<std::fs::DirEntry>| {
            std::os::unix::fs::PermissionsExt::mode(&entry.unwrap().metadata().unwrap().permissions()) & 0o777
        };
        std::fs::read_dir(self.dir.path()).unwrap().map(mode).collect()
    }

    async fn get(&self, address: SocketAddr, path: &str) -> String {
        self.get_as(address, path, &address.to_string()).await
    }

    async fn get_as(&self, address: SocketAddr, path: &str, host: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn refusals(&self) -> String {
        let text = self.get(self.running.metrics, "/metrics").await;
        let line = text.lines().find(|line| line.starts_with("leno_manager_refusals_total"));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    }
}

/// Reports until it is taken or refused.
async fn report(channel: &Channel, name: &str) -> Result<(), ()> {
    let mut reporting = channel.report();
    reporting.tx.send(cluster(name, 7)).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(30), reporting.acks.recv()).await;
    match answer.expect("no answer within 30 s") {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) | None => Err(()),
    }
}

/// Asks for the other clusters under a name; `Err`: the stream was ended.
async fn listen(channel: &Channel, name: &str) -> Result<usize, ()> {
    let mut link = channel.open_ads();
    let mut session = xds::client::ClientSession::new();
    session.subscribe(&[Subscription::Clusters]);
    link.tx.send(session.on_connect(ProxyNode { uid: name.into(), ..ProxyNode::default() })).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(30), link.rx.recv()).await;
    match answer.expect("no answer within 30 s") {
        Some(Ok(response)) => Ok(response.resources.len()),
        Some(Err(_)) | None => Err(()),
    }
}

#[tokio::test]
async fn a_control_plane_speaks_for_its_own_cluster_only() {
    let bench = Bench::start().await;
    let west = bench.control("west").await;
    assert_eq!(report(&west, "west").await, Ok(()));

    let rogue = bench.control("edge").await;
    assert_eq!(report(&rogue, "west").await, Err(()));
    assert_eq!(bench.refusals().await, "1");
    assert_eq!(listen(&rogue, "west").await, Err(()));
    assert_eq!(bench.refusals().await, "2");
    let known = bench.get(bench.api(), "/leno/v1/clusters").await;
    assert!(known.contains("\"west\"") && !known.contains("\"edge\""), "{known}");

    // A control run: under its own name the same one is heard, and hears of west.
    assert_eq!(report(&rogue, "edge").await, Ok(()));
    assert_eq!(listen(&rogue, "edge").await, Ok(1));
    assert_eq!(bench.refusals().await, "2");
    bench.running.stop().await;
}

#[tokio::test]
async fn who_is_no_control_plane_of_a_named_cluster_is_refused() {
    let bench = Bench::start().await;
    let west = bench.root.intermediate("west", LIFE).unwrap();
    let workload = bench.connect(&west, "spiffe://leno.demo/ns/default/sa/web").await;
    assert_eq!(report(&workload, "west").await, Err(()));
    let key = Key::generate().unwrap();
    let control = id("spiffe://leno.demo/ns/leno-system/sa/control");
    let chain = bench.root.sign_leaf(&key.csr().unwrap(), &control, LIFE).unwrap();
    let identity = Identity::new(vec![bench.root.bundle()]);
    identity.install(Svid::new(key, chain).unwrap());
    let manager = id("spiffe://leno.demo/ns/leno-system/sa/manager");
    let tls = identity.client_config(Expect::OneOf(vec![manager]), &[b"h2"]);
    let nameless = Channel::connect(bench.running.control, tls).await.unwrap();
    assert_eq!(report(&nameless, "west").await, Err(()));
    assert_eq!(bench.refusals().await, "2");
    bench.running.stop().await;
}

#[tokio::test]
async fn one_cluster_cannot_take_the_places_of_all() {
    let bench = Bench::start().await;
    let (greedy, west) = (bench.control("edge").await, bench.control("west").await);
    let mut held = Vec::new();
    for _ in 0..STREAMS_PER_CLUSTER_MAX {
        let mut reporting = greedy.report();
        reporting.tx.send(cluster("edge", 7)).await.unwrap();
        assert!(matches!(reporting.acks.recv().await, Some(Ok(()))));
        held.push(reporting);
    }
    assert_eq!(report(&greedy, "edge").await, Err(()));
    assert_eq!(report(&west, "west").await, Ok(()));
    // Places are given back.
    drop(held);
    let begun = Instant::now();
    while report(&greedy, "edge").await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no place within 30 s");
    }
    bench.running.stop().await;
}

#[tokio::test]
async fn a_page_that_was_rebound_to_loopback_learns_nothing() {
    let bench = Bench::start().await;
    let api = bench.api();
    let answer = bench.get_as(api, "/leno/v1/clusters", "rebound.example:15081").await;
    assert!(answer.starts_with("HTTP/1.1 421 ") && !answer.contains("clusters"), "{answer}");
    assert!(bench.get_as(api, "/leno/v1/clusters", "localhost:15081").await.contains("clusters"));
    bench.running.stop().await;
}

#[tokio::test]
async fn state_is_for_its_owner_alone() {
    let bench = Bench::start().await;
    assert_eq!(bench.modes(), [0o600]);
    bench.running.stop().await;
}

#[tokio::test]
async fn status_tells_what_each_cluster_was_told_and_confirmed_and_who_is_gone() {
    let bench = Bench::start().await;
    let status = async || -> serde_json::Value {
        let text = bench.get(bench.api(), "/leno/v1/status").await;
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    assert_eq!(status().await["plane"], "manager");
    let channel = bench.control("west").await;
    let mut link = channel.open_ads();
    let mut session = xds::client::ClientSession::new();
    session.subscribe(&[Subscription::Clusters]);
    let node = ProxyNode { uid: "west".into(), version: "test".into(), ..ProxyNode::default() };
    link.tx.send(session.on_connect(node)).await.unwrap();
    let mut reporting = channel.report();
    reporting.tx.send(cluster("west", 1)).await.unwrap();
    reporting.acks.recv().await.unwrap().unwrap();
    let response = link.rx.recv().await.unwrap().unwrap();
    let west = status().await["clusters"][0].clone();
    assert_eq!((&west["cluster"], &west["state"]), (&"west".into(), &"pending".into()), "{west}");
    let update = session.on_response(response).unwrap();
    link.tx.send(session.ack(&update.nonce, session.held_hash())).await.unwrap();
    let until = async |state: &str| {
        let begun = Instant::now();
        loop {
            let west = status().await["clusters"][0].clone();
            if west["state"] == state {
                return west;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "not {state}: {west}");
        }
    };
    let west = until("synced").await;
    assert!(west["sent"] == west["applied"] && west["sent"].is_string(), "{west}");
    assert_eq!((&west["version"], &west["revision"]), (&"test".into(), &1.into()), "{west}");
    drop((link, reporting, channel));
    let west = until("gone").await;
    assert!(west["since"].is_string() && west["connected"] == false, "{west}");
    let elsewhere = bench.get(bench.api(), "/leno/v1/findings").await;
    assert!(elsewhere.contains("ask the control plane of a cluster"), "{elsewhere}");
    bench.running.stop().await;
}
