#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::link::{Link, ServerEnd};
use crate::proto::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use fixtures::pki::TestAuthority;
use futures_util::future::BoxFuture;
use model::SpiffeId;
use model::federation::RemoteCluster;
use model::trust::{EXPIRED_GRACE, Proof, Shown, Voucher};
use rcgen::{KeyPair, SanType};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto, version::TLS13};

const ALICE: &str = "spiffe://a.test/ns/shop/sa/alice";
/// When client certificates expire, by the server's clock.
const EXPIRES: Duration = Duration::from_secs(1);

/// Hands every stream to the test.
struct Fake(mpsc::UnboundedSender<(CallingPeer, ServerEnd)>, mpsc::UnboundedSender<ReportEnd>);

impl Discovery for Fake {
    fn open(&self, peer: CallingPeer, end: ServerEnd) -> Result<(), Status> {
        self.0.send((peer, end)).map_err(|_| Status::new(Code::Unavailable, "nobody takes streams"))
    }
}

impl Federation for Fake {
    fn report(&self, _: CallingPeer, end: ReportEnd) -> Result<(), Status> {
        self.1.send(end).map_err(|_| Status::new(Code::Unavailable, "nobody takes reports"))
    }
}

impl Enrollment for Fake {
    fn join(&self, peer: CallingPeer, join: Join) -> BoxFuture<'_, Result<Joined, Status>> {
        Box::pin(async move {
            if join.token != "good" {
                return Err(Status::new(Code::Unauthenticated, "token spent"));
            }
            Ok(Joined { chain: vec![join.csr], uid: peer.address.ip().to_string(), ..Joined::default() })
        })
    }

    fn sign(&self, peer: CallingPeer, csr: Vec<u8>) -> BoxFuture<'_, Result<Signed, Status>> {
        Box::pin(async move {
            let proof = peer.proof.or(peer.expired).unwrap();
            Ok(Signed { chain: vec![csr, proof.id.to_string().into()], bundles: vec![] })
        })
    }

    fn withdraw(
        &self,
        _: CallingPeer,
        uid: String,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<WithdrawalOutcome, Status>> {
        Box::pin(async move {
            Ok(WithdrawalOutcome { acknowledged: uid.len() as u32, outstanding: deadline.as_millis() as u32 })
        })
    }
}

struct Server {
    address: SocketAddr,
    streams: mpsc::UnboundedReceiver<(CallingPeer, ServerEnd)>,
    reports: mpsc::UnboundedReceiver<ReportEnd>,
    refused: mpsc::UnboundedReceiver<std::io::Error>,
    drain: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start(tls: Option<Tls>) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (streams_tx, streams) = mpsc::unbounded_channel();
    let (reports_tx, reports) = mpsc::unbounded_channel();
    let (refused_tx, refused) = mpsc::unbounded_channel();
    let (drain, draining) = oneshot::channel::<()>();
    let fake = Arc::new(Fake(streams_tx, reports_tx));
    let services =
        Services { discovery: Some(fake.clone()), enrollment: Some(fake.clone()), federation: Some(fake) };
    let on_refused: HandshakeObserver = Arc::new(move |_, error: &std::io::Error| {
        let _ = refused_tx.send(std::io::Error::other(error.to_string()));
    });
    let done = tokio::spawn(serve(listener, tls, services, on_refused, async {
        let _ = draining.await;
    }));
    Server { address, streams, reports, refused, drain, done }
}

fn request(nonce: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { response_nonce: nonce.into(), ..DeltaDiscoveryRequest::default() }
}

fn response(nonce: &str) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse { nonce: nonce.into(), ..DeltaDiscoveryResponse::default() }
}

async fn exchange(link: &mut Link, end: &mut ServerEnd, word: &str) {
    link.tx.send(request(word)).await.unwrap();
    assert_eq!(end.rx.recv().await.unwrap().unwrap().response_nonce, word);
    end.tx.send(response(word)).await.unwrap();
    assert_eq!(link.rx.recv().await.unwrap().unwrap().nonce, word);
}

#[tokio::test]
async fn a_control_stream_carries_both_ways_and_both_can_close_it() {
    let mut server = start(None).await;
    let channel = Channel::connect_plain(server.address).await.unwrap();
    let mut link = channel.open_ads();
    link.tx.send(request("hello")).await.unwrap();
    // The stream is opened when it is first polled.
    let (opened, _) = tokio::join!(server.streams.recv(), async {
        tokio::select! { _ = link.rx.recv() => {}, () = tokio::task::yield_now() => {} }
    });
    let (peer, mut end) = opened.unwrap();
    assert_eq!((peer.id(), peer.address.ip()), (None, Ipv4Addr::LOCALHOST.into()));
    assert_eq!(end.rx.recv().await.unwrap().unwrap().response_nonce, "hello");
    exchange(&mut link, &mut end, "more").await;
    drop(end);
    assert!(link.rx.recv().await.is_none());

    let mut link = channel.open_ads();
    link.tx.send(request("again")).await.unwrap();
    tokio::select! { _ = link.rx.recv() => {}, opened = server.streams.recv() => {
        let (_, mut end) = opened.unwrap();
        end.rx.recv().await.unwrap().unwrap();
        drop(link);
        assert!(!matches!(end.rx.recv().await, Some(Ok(_))));
    } }
}

#[tokio::test]
async fn calls_carry_their_answers_and_errors() {
    let server = start(None).await;
    let channel = Channel::connect_plain(server.address).await.unwrap();
    let join = Join { token: "good".into(), csr: vec![1, 2], addresses: vec![], version: "1".into() };
    let joined = channel.join(&join).await.unwrap();
    assert_eq!((joined.chain, joined.uid.as_str()), (vec![vec![1, 2]], "127.0.0.1"));
    let error = channel.join(&Join { token: "spent".into(), ..join.clone() }).await.unwrap_err();
    assert_eq!(error, Status::new(Code::Unauthenticated, "token spent"));
    assert_eq!(channel.sign(vec![1]).await.unwrap_err().code, Code::Unauthenticated);
    assert!(channel.join(&Join { csr: vec![0; ENROLLMENT_BYTES_MAX + 1], ..join }).await.is_err());
}

#[tokio::test]
async fn reports_arrive_and_are_acknowledged() {
    let mut server = start(None).await;
    let channel = Channel::connect_plain(server.address).await.unwrap();
    let mut reporting = channel.report();
    let cluster = RemoteCluster {
        cluster: "west".into(),
        network: "n".into(),
        locality: Locality::default(),
        gateways: vec![],
        exports: vec![],
    };
    reporting.tx.send(cluster.clone()).await.unwrap();
    let serving = async {
        let mut end = server.reports.recv().await.unwrap();
        assert_eq!(end.rx.recv().await.unwrap().unwrap(), cluster);
        end.acks.send(()).await.unwrap();
        end
    };
    let (_end, ack) = tokio::join!(serving, reporting.acks.recv());
    assert_eq!(ack, Some(Ok(())));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unimplemented() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = serve(listener, None, Services::default(), Arc::new(|_, _| {}), std::future::pending());
    let calling = async {
        let channel = Channel::connect_plain(address).await.unwrap();
        assert_eq!(channel.join(&Join::default()).await.unwrap_err().code, Code::Unimplemented);
        assert_eq!(channel.open_ads().rx.recv().await.unwrap().unwrap_err().code, Code::Unimplemented);
    };
    tokio::select! { _ = serving => panic!("ended"), () = calling => {} }
}

#[test]
fn a_certificate_that_the_other_end_takes_as_expired_is_told_with_what_to_look_at() {
    use tokio_rustls::rustls::{AlertDescription, Error};
    let told = |alert| {
        let io = std::io::Error::new(std::io::ErrorKind::InvalidData, Error::AlertReceived(alert));
        Status::from(tonic::Status::from_error(Box::new(io))).message
    };
    assert!(told(AlertDescription::CertificateExpired).contains("check the clocks of both hosts"));
    assert!(!told(AlertDescription::UnknownCA).contains("clocks"));
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(Channel::connect_plain(address).await.unwrap_err().code, Code::Unavailable);
}

#[tokio::test]
async fn draining_ends_when_the_streams_do() {
    let mut server = start(None).await;
    let channel = Channel::connect_plain(server.address).await.unwrap();
    let mut link = channel.open_ads();
    link.tx.send(request("1")).await.unwrap();
    let (_, mut end) = tokio::select! {
        opened = server.streams.recv() => opened.unwrap(),
        _ = link.rx.recv() => panic!("closed"),
    };
    end.rx.recv().await.unwrap().unwrap();
    server.drain.send(()).unwrap();
    exchange(&mut link, &mut end, "still served").await;
    drop(end);
    assert!(link.rx.recv().await.is_none());
    drop((link, channel));
    server.done.await.unwrap().unwrap();
    assert!(Channel::connect_plain(server.address).await.is_err());
}

/// A CA with a server and a client certificate; identities are `identity`'s business, here they are fixed.
struct Pki {
    roots: Arc<RootCertStore>,
    server: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    client: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
}

fn pki() -> Pki {
    let root = TestAuthority::root("root");
    let leaf = || {
        let key = KeyPair::generate().unwrap();
        let address = SanType::IpAddress(Ipv4Addr::UNSPECIFIED.into());
        let mut chain =
            root.leaf_for(&key, "spiffe://a.test/x", |leaf| leaf.subject_alt_names = vec![address]);
        let certificate = CertificateDer::from(chain.swap_remove(0));
        (vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    };
    let mut roots = RootCertStore::empty();
    roots.add(root.root_der().into()).unwrap();
    Pki { roots: Arc::new(roots), server: leaf(), client: leaf() }
}

fn provider() -> Arc<crypto::CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}

/// A client's certificate expires after a second, and no second ever passes.
fn server_tls(pki: &Pki) -> Tls {
    let verifier = WebPkiClientVerifier::builder_with_provider(pki.roots.clone(), provider())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(pki.server.0.clone(), pki.server.1.clone_key())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let proof = Proof {
        id: SpiffeId::parse(ALICE).unwrap(),
        voucher: Voucher::Root,
        uid: None,
        begins: UNIX_EPOCH,
        expires: UNIX_EPOCH + EXPIRES,
    };
    Tls {
        config: Arc::new(config),
        prove: Arc::new(move |_| Some(Shown::Valid(proof.clone()))),
        wall: Arc::new(|| UNIX_EPOCH),
    }
}

fn client_tls(pki: &Pki, with_certificate: bool) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(pki.roots.clone());
    let mut config = match with_certificate {
        true => builder.with_client_auth_cert(pki.client.0.clone(), pki.client.1.clone_key()).unwrap(),
        false => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[tokio::test]
async fn the_peers_identity_reaches_the_handler() {
    let pki = pki();
    let server = start(Some(server_tls(&pki))).await;
    let channel = Channel::connect(server.address, client_tls(&pki, true)).await.unwrap();
    assert_eq!(channel.sign(vec![9]).await.unwrap().chain, [vec![9], ALICE.as_bytes().to_vec()]);
    let withdrawn = channel.withdraw("abc", Duration::from_millis(70)).await.unwrap();
    assert_eq!(withdrawn, WithdrawalOutcome { acknowledged: 3, outstanding: 70 });
}

#[tokio::test]
async fn a_stream_does_not_outlive_the_clients_certificate() {
    let pki = pki();
    let wall: Wall = Arc::new(|| UNIX_EPOCH + EXPIRES + EXPIRED_GRACE);
    let server = start(Some(Tls { wall, ..server_tls(&pki) })).await;
    let channel = Channel::connect(server.address, client_tls(&pki, true)).await.unwrap();
    let mut link = channel.open_ads();
    assert!(matches!(link.rx.recv().await, Some(Err(_))));
}

#[tokio::test]
async fn an_expired_certificate_is_good_for_its_renewal_and_nothing_else() {
    let pki = pki();
    let tls = server_tls(&pki);
    let prove = tls.prove.clone();
    let late: Prove = Arc::new(move |shown| match prove(shown) {
        Some(Shown::Valid(proof)) => Some(Shown::Expired(proof)),
        other => other,
    });
    let mut server = start(Some(Tls { prove: late, ..tls })).await;
    let channel = Channel::connect(server.address, client_tls(&pki, true)).await.unwrap();
    assert_eq!(channel.sign(vec![9]).await.unwrap().chain, [vec![9], ALICE.as_bytes().to_vec()]);
    let refused = channel.withdraw("abc", Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated);
    assert!(refused.message.contains("expired"), "{refused}");
    // To all services that ask who calls, there is nobody.
    let mut link = channel.open_ads();
    link.tx.send(request("hello")).await.unwrap();
    let (peer, _end) = tokio::select! {
        opened = server.streams.recv() => opened.unwrap(),
        _ = link.rx.recv() => panic!("closed"),
    };
    assert_eq!(peer.id(), None);
    assert_eq!(peer.expired.unwrap().id.to_string(), ALICE);
}

#[tokio::test]
async fn without_a_certificate_only_joining_works() {
    let pki = pki();
    let server = start(Some(server_tls(&pki))).await;
    let channel = Channel::connect(server.address, client_tls(&pki, false)).await.unwrap();
    assert!(channel.join(&Join { token: "good".into(), ..Join::default() }).await.is_ok());
    assert_eq!(channel.sign(vec![9]).await.unwrap_err().code, Code::Unauthenticated);
    let refused = channel.withdraw("abc", Duration::ZERO).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated);
}

#[tokio::test]
async fn a_failed_handshake_is_reported_on_both_sides_and_harms_nobody() {
    let pki = pki();
    let mut server = start(Some(server_tls(&pki))).await;
    let mut noise = TcpStream::connect(server.address).await.unwrap();
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(server.refused.recv().await.is_some());
    let stranger = self::pki();
    let error = Channel::connect(server.address, client_tls(&stranger, true)).await.unwrap_err();
    assert!(error.code == Code::Unavailable && error.message.contains("invalid peer certificate"), "{error}");
    assert!(server.refused.recv().await.is_some());
    let channel = Channel::connect(server.address, client_tls(&pki, true)).await.unwrap();
    assert!(channel.sign(vec![]).await.is_ok());
}

/// Takes as long as pings do: the peer's host vanishes without a word.
#[tokio::test]
async fn a_peer_that_fell_silent_is_noticed() {
    let mut server = start(None).await;
    let middle = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = middle.local_addr().unwrap();
    let (cut, cutting) = oneshot::channel::<()>();
    let upstream = server.address;
    tokio::spawn(async move {
        let (mut near, _) = middle.accept().await.unwrap();
        let mut far = TcpStream::connect(upstream).await.unwrap();
        tokio::select! { _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}, _ = cutting => {} }
        // Both sockets stay open and nothing passes.
        std::future::pending::<()>().await;
    });
    let channel = Channel::connect_plain(address).await.unwrap();
    let mut link = channel.open_ads();
    link.tx.send(request("1")).await.unwrap();
    let (_, mut end) = tokio::select! {
        opened = server.streams.recv() => opened.unwrap(),
        _ = link.rx.recv() => panic!("closed"),
    };
    end.rx.recv().await.unwrap().unwrap();
    cut.send(()).unwrap();
    let limit = PING_INTERVAL + PING_TIMEOUT + Duration::from_secs(6);
    let both = async { tokio::join!(link.rx.recv(), end.rx.recv()) };
    let (client, server) = tokio::time::timeout(limit, both).await.unwrap();
    assert!(matches!(client, Some(Err(_))) && !matches!(server, Some(Ok(_))));
}

#[test]
fn a_join_does_not_tell_its_token() {
    let join = Join { token: "lj1.id.secret".into(), ..Join::default() };
    assert!(!format!("{join:?}").contains("secret"), "{join:?}");
}
