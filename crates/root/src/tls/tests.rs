#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{HANDSHAKE_TIMEOUT, TlsDoor};
use crate::grants::Grants;
use crate::limits::{CONNECTIONS_MAX, CONNECTIONS_PER_SOURCE_MAX};
use ca::issuer::serve::{Holder, Lifetimes};
use ca::issuer::tls::{PROTOCOL, TlsIssuer};
use ca::issuer::{Issued, check};
use ca::{CertificateRequest, GrantSubject, GrantToken, IssueError, RefusalCode, Root, RootIssuer, Signer};
use daemon::{Drain, DrainTrigger, Tasks};
use identity::{Expect, Identity, Key, Svid, server_name};
use model::{SpiffeId, TrustDomain};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

const HOUR: Duration = Duration::from_secs(3600);

/// A root that listens.
struct Bench {
    root: Root,
    grants: Arc<Grants>,
    place: String,
    _trigger: DrainTrigger,
}

impl Bench {
    async fn start() -> Self {
        let root = Root::generate(TrustDomain::parse("a.test").unwrap(), HOUR).unwrap();
        let lifetimes = Lifetimes { intermediate: HOUR, leaf: HOUR };
        let holder = Arc::new(Holder { root: root.clone(), lifetimes });
        let grants = Arc::<Grants>::default();
        let door = TlsDoor::bind("127.0.0.1:0".parse().unwrap(), holder, grants.clone()).await.unwrap();
        let place = door.address().unwrap().to_string();
        let (trigger, drain) = Drain::new();
        tokio::spawn(door.serve(Tasks::new(), drain));
        Self { root, grants, place, _trigger: trigger }
    }

    fn grant(&self, subject: GrantSubject) -> GrantToken {
        self.grants.make(subject, None, self.root.pin(), SystemTime::now()).unwrap()
    }

    fn issuer(&self, token: GrantToken) -> TlsIssuer {
        TlsIssuer::new(self.place.clone(), token)
    }

    /// An identity that a cluster's intermediate certified.
    fn member(&self, signer: &Signer, id: &str) -> Identity {
        let key = Key::generate().unwrap();
        let id = SpiffeId::parse(id).unwrap();
        let chain = signer.sign(&key.csr().unwrap(), &id, HOUR).unwrap();
        let identity = Identity::new(vec![self.root.bundle()]);
        identity.install(Svid::new(key, chain).unwrap());
        identity
    }
}

fn west() -> GrantSubject {
    GrantSubject::Cluster("west".into())
}

/// A key and the request for it.
fn request() -> (Key, Vec<u8>) {
    let key = Key::generate().unwrap();
    let csr = key.csr().unwrap();
    (key, csr)
}

async fn first(issuer: &TlsIssuer, cluster: &str) -> Result<(Key, Issued), IssueError> {
    let (key, csr) = request();
    let issued = issuer.sign_intermediate(cluster, CertificateRequest { csr: &csr, caller: None }).await?;
    Ok((key, issued))
}

fn refused(answer: Result<impl Sized, IssueError>) -> RefusalCode {
    match answer {
        Err(IssueError::Refused { code, .. }) => code,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was signed"),
    }
}

#[tokio::test]
async fn a_grant_buys_the_first_intermediate_and_its_key_the_next_ones() {
    let bench = Bench::start().await;
    let token = bench.grant(west());
    let issuer = bench.issuer(token.clone());
    let (key, issued) = first(&issuer, "west").await.unwrap();
    let held = check::intermediate(key, issued, "west", SystemTime::now()).unwrap();

    // The same grant buys nothing more.
    let again = first(&bench.issuer(token), "west").await;
    assert!(again.as_ref().is_err_and(IssueError::is_final));
    assert_eq!(refused(again), RefusalCode::GrantSpent);

    // A certificate that the intermediate signed does.
    let control = bench.member(&held.signer, "spiffe://a.test/ns/leno-system/sa/control");
    let (key, csr) = request();
    let by = CertificateRequest { csr: &csr, caller: Some(&control) };
    let issued = issuer.sign_intermediate("west", by).await.unwrap();
    check::intermediate(key, issued, "west", SystemTime::now()).unwrap();
    // For its own cluster alone, and for no leaf of the management plane.
    assert_eq!(refused(issuer.sign_intermediate("east", by).await), RefusalCode::NotGranted);
    assert_eq!(refused(issuer.sign_leaf(by).await), RefusalCode::NotGranted);
    // Nobody else's certificate does, though the same cluster vouches for it.
    let workload = bench.member(&held.signer, "spiffe://a.test/ns/shop/sa/web");
    let by = CertificateRequest { csr: &csr, caller: Some(&workload) };
    assert_eq!(refused(issuer.sign_intermediate("west", by).await), RefusalCode::NotGranted);
}

#[tokio::test]
async fn a_manager_is_certified_and_renews() {
    let bench = Bench::start().await;
    let issuer = bench.issuer(bench.grant(GrantSubject::Manager));
    let (key, csr) = request();
    let issued = issuer.sign_leaf(CertificateRequest { csr: &csr, caller: None }).await.unwrap();
    let identity = Identity::new(issued.bundles);
    identity.install(Svid::new(key, issued.chain).unwrap());
    let (_, csr) = request();
    let by = CertificateRequest { csr: &csr, caller: Some(&identity) };
    let issued = issuer.sign_leaf(by).await.unwrap();
    assert_eq!(issued.id.unwrap().to_string(), "spiffe://a.test/ns/leno-system/sa/manager");
    assert_eq!(refused(issuer.sign_intermediate("west", by).await), RefusalCode::NotGranted);
}

#[tokio::test]
async fn foreign_and_misused_grants_buy_nothing() {
    let bench = Bench::start().await;
    // For another cluster: it is not even sent.
    let answer = first(&bench.issuer(bench.grant(west())), "east").await.map(drop).unwrap_err();
    assert_eq!(
        answer.to_string(),
        "the grant is for the control plane of cluster west, this is the control plane of cluster east"
    );
    assert!(answer.is_final());
    // Of a root that forgot it.
    let forgotten = Grants::default().make(west(), None, bench.root.pin(), SystemTime::now()).unwrap();
    assert_eq!(refused(first(&bench.issuer(forgotten), "west").await), RefusalCode::GrantInvalid);
    // Of another root: whoever answers there is not believed, and gets no grant to see.
    let foreign = bench.grants.make(west(), None, [7; 32], SystemTime::now()).unwrap();
    let answer = first(&bench.issuer(foreign), "west").await.map(drop).unwrap_err();
    assert!(matches!(answer, IssueError::Connect { .. }), "{answer}");
    // An answer that was lost is had again.
    let token = bench.grant(west());
    let (_, csr) = request();
    for _ in 0..2 {
        let by = CertificateRequest { csr: &csr, caller: None };
        assert!(bench.issuer(token.clone()).sign_intermediate("west", by).await.is_ok());
    }
}

/// A stranger's connection, after its handshake.
async fn stranger(bench: &Bench) -> tokio_rustls::client::TlsStream<TcpStream> {
    let nobody = Identity::new(Vec::new());
    let config = nobody.client_config(Expect::PinnedHolder(bench.root.pin()), &[PROTOCOL]);
    let stream = TcpStream::connect(&bench.place).await.unwrap();
    TlsConnector::from(config).connect(server_name(), stream).await.unwrap()
}

#[tokio::test]
async fn strangers_get_an_answer_and_nothing_else() {
    let bench = Bench::start().await;
    let mut stream = stranger(&bench).await;
    for json in [r#"{"kind":"grant","cluster":"west"}"#, r#"{"kind":"intermediate","csr":"AAAA"}"#] {
        stream.write_all(&(json.len() as u32).to_be_bytes()).await.unwrap();
        stream.write_all(json.as_bytes()).await.unwrap();
        let length = stream.read_u32().await.unwrap();
        let mut answer = vec![0; length as usize];
        stream.read_exact(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(r#""error":"#) && !answer.contains("lg1."), "{answer}");
    }
    // Guessing empties the guesser's bucket.
    let mut codes = Vec::new();
    for _ in 0..3 {
        let foreign = Grants::default().make(west(), None, bench.root.pin(), SystemTime::now()).unwrap();
        codes.push(refused(first(&bench.issuer(foreign), "west").await));
    }
    assert_eq!(codes.last(), Some(&RefusalCode::TooMany), "{codes:?}");
}

#[tokio::test]
async fn connections_that_say_nothing_are_limited() {
    let bench = Bench::start().await;
    let issuer = bench.issuer(bench.grant(west()));
    let from = async |source: usize| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, source as u8], 0).into()).unwrap();
        socket.connect(bench.place.parse().unwrap()).await.unwrap()
    };
    let mut held = Vec::new();
    // From one source as many as it may have, and more: others are served.
    for _ in 0..CONNECTIONS_MAX {
        held.push(from(2).await);
    }
    first(&bench.issuer(bench.grant(west())), "west").await.map(drop).unwrap();
    for number in 0..CONNECTIONS_MAX {
        held.push(from(3 + number / CONNECTIONS_PER_SOURCE_MAX).await);
    }
    // All are taken: one more is closed at once.
    let answer = first(&issuer, "west").await.map(drop).unwrap_err();
    assert!(matches!(answer, IssueError::Connect { .. }), "{answer}");
    // The others are cut off when their time for the handshake is over, or when they go.
    drop(held);
    let began = SystemTime::now();
    while first(&issuer, "west").await.is_err() {
        assert!(began.elapsed().unwrap() < 6 * HANDSHAKE_TIMEOUT, "nobody is let in");
        tokio::task::yield_now().await;
    }
}
