#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;
use tokio_rustls::rustls::{ServerConfig, version::TLS13};

#[tokio::test(start_paused = true)]
async fn an_anonymous_connection_ends_by_itself() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (mut near, (far, address)) = (near.unwrap(), far.unwrap());
    let until = Some(Until::anonymous());
    let mut connection = Connection { peer: CallingPeer::anonymous(address), io: Stream::Plain(far), until };
    near.write_all(b"x").await.unwrap();
    assert_eq!(connection.read_u8().await.unwrap(), b'x');
    let begun = Instant::now();
    assert_eq!(connection.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(begun.elapsed() > ANONYMOUS_MAX / 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_outlives_its_certificate_by_the_grace_only() {
    let began = Instant::now();
    let wall: Wall = Arc::new(move || SystemTime::UNIX_EPOCH + began.elapsed());
    let life = Duration::from_secs(1000);
    let mut until = Until::expired(SystemTime::UNIX_EPOCH + life, wall);
    let over = std::future::poll_fn(|cx| until.poll_over(cx));
    assert!(tokio::time::timeout(life + EXPIRED_GRACE - Duration::from_secs(1), over).await.is_err());
    std::future::poll_fn(|cx| until.poll_over(cx)).await;
    // Whoever asks once more hears the same.
    std::future::poll_fn(|cx| until.poll_over(cx)).await;
}

/// Nobody finishes a handshake with it, which is all that is needed here.
fn tls() -> Tls {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    Tls { config: Arc::new(config), prove: Arc::new(|_| None), wall: Arc::new(SystemTime::now) }
}

#[tokio::test]
async fn one_source_cannot_take_all_handshakes() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (refusals, mut refused) = mpsc::unbounded_channel();
    let on_refused: HandshakeObserver = Arc::new(move |from, error: &io::Error| {
        let _ = refusals.send((from, error.to_string()));
    });
    let (tx, _connections) = mpsc::channel(1);
    let accepting = tokio::spawn(run(listener, Some(tls()), on_refused, tx));
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES_PER_SOURCE_MAX {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut more = TcpStream::connect(address).await.unwrap();
    let (from, why) = refused.recv().await.unwrap();
    assert_eq!((from, why.as_str()), (more.local_addr().unwrap(), "too many handshakes at once from there"));
    assert_eq!(more.read(&mut [0; 1]).await.unwrap_or(0), 0);
    // Another source has its own.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other.write_all(b"no handshake at all").await.unwrap();
    let (from, why) = refused.recv().await.unwrap();
    assert!(from == other.local_addr().unwrap() && !why.contains("too many"), "{why}");
    accepting.abort();
}
