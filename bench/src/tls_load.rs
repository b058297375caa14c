//! Handshakes: each of so many loops opens a connection, shakes hands in mutual TLS 1.3 without resumption, does one GET
//! over HTTP/2, and closes. Whom it reaches is not what is measured, so every server is believed.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Request;
use identity::CertificateDer;
use identity::rustls::client::Resumption;
use identity::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use identity::rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use identity::rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use identity::rustls::pki_types::pem::PemObject;
use identity::rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use identity::rustls::version::TLS13;
use identity::rustls::{ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;

use crate::measured::Load;
use crate::statistics::quantile;

/// How the two sides agree on a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KeyExchange {
    /// X25519, which all know.
    Classic,
    /// X25519MLKEM768 rather, as two of Leno's proxies do it.
    Hybrid,
}

/// Command line of the generator.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TlsShape {
    #[arg(long)]
    pub to: SocketAddr,
    /// Loops that go on at the same time
    #[arg(long)]
    pub connections: usize,
    #[arg(long)]
    pub seconds: u64,
    /// Certificates and key, in PEM
    #[arg(long)]
    pub credentials: PathBuf,
    #[arg(long, value_enum)]
    pub exchange: KeyExchange,
    /// Where Leno's proxy is to send the request
    #[arg(long)]
    pub application: SocketAddr,
}

/// The command of one run on `core`.
pub(crate) fn command(core: usize, shape: &TlsShape) -> Result<Vec<String>> {
    let itself = std::env::current_exe()?.display().to_string();
    let pinned = ["taskset", "-c", &core.to_string(), &itself, "tool", "tls-load"].map(str::to_owned);
    let exchange = clap::ValueEnum::to_possible_value(&shape.exchange).context("a key exchange")?;
    let what = [
        format!("--to={}", shape.to),
        format!("--connections={}", shape.connections),
        format!("--seconds={}", shape.seconds),
        format!("--credentials={}", shape.credentials.display()),
        format!("--exchange={}", exchange.get_name()),
        format!("--application={}", shape.application),
    ];
    Ok(pinned.into_iter().chain(what).collect())
}

/// Puts the load on, and prints what was seen.
pub(crate) fn put(shape: &TlsShape) -> Result<()> {
    let connector = TlsConnector::from(Arc::new(config(shape)?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let load = LocalSet::new().block_on(&runtime, all(shape, &connector))?;
    println!("{}", serde_json::to_string(&load)?);
    Ok(())
}

#[derive(Default)]
struct Handshakes {
    latencies_ms: Vec<f64>,
    errors: f64,
}

async fn all(shape: &TlsShape, connector: &TlsConnector) -> Result<Load> {
    let seen = Rc::new(RefCell::new(Handshakes::default()));
    let began = Instant::now();
    let until = began + Duration::from_secs(shape.seconds);
    let mut loops = Vec::new();
    for _ in 0..shape.connections {
        let (shape, connector, seen) = (shape.clone(), connector.clone(), Rc::clone(&seen));
        loops.push(spawn_local(async move {
            while Instant::now() < until {
                let began = Instant::now();
                let outcome = once(&shape, &connector).await;
                let mut seen = seen.borrow_mut();
                match outcome {
                    Ok(()) => seen.latencies_ms.push(began.elapsed().as_secs_f64() * 1000.0),
                    Err(error) => {
                        if seen.errors == 0.0 {
                            eprintln!("{error:#}");
                        }
                        seen.errors += 1.0;
                    }
                }
            }
        }));
    }
    for one in loops {
        one.await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut seen = seen.take();
    let requests = seen.latencies_ms.len() as f64;
    ensure!(requests > 0.0, "no handshake came to an end");
    let p50_ms = quantile(&mut seen.latencies_ms, 0.5);
    let p99_ms = quantile(&mut seen.latencies_ms, 0.99);
    Ok(Load { requests, seconds, p50_ms, p99_ms, errors: seen.errors })
}

/// One connection, from its first packet to its last.
async fn once(shape: &TlsShape, connector: &TlsConnector) -> Result<()> {
    let tcp = TcpStream::connect(shape.to).await.with_context(|| format!("connect to {}", shape.to))?;
    tcp.set_nodelay(true)?;
    let tls = connector.connect(identity::server_name(), tcp).await.context("shake hands")?;
    let kind = tls.get_ref().1.handshake_kind();
    ensure!(kind == Some(HandshakeKind::Full), "the handshake was {kind:?}");
    let (mut client, connection) = h2::client::handshake(tls).await?;
    let connection = spawn_local(connection);
    let request = Request::get("https://bench/").header("x-leno-destination", shape.application.to_string());
    let (response, _) = client.send_request(request.body(())?, true)?;
    let response = response.await?;
    ensure!(response.status().is_success(), "{}", response.status());
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    drop((body, client));
    Ok(connection.await??)
}

fn config(shape: &TlsShape) -> Result<ClientConfig> {
    let mut provider = default_provider();
    if shape.exchange == KeyExchange::Classic {
        provider.kx_groups = vec![kx_group::X25519];
    }
    let certificates = CertificateDer::pem_file_iter(&shape.credentials)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&shape.credentials)?;
    let anyone = Anyone(provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anyone))
        .with_client_auth_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

/// Believes every server that has the key of what it shows.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
