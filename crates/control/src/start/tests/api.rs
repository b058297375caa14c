//! The API over TCP with the certificate that the control plane has in the mesh.

use super::bench::*;
use super::*;
use apiserver::ApiOptions;
use codec::client::{Limits, send_over};
use identity::CertificateDer;
use identity::rustls::pki_types::ServerName;
use std::os::unix::fs::PermissionsExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const TOKEN: &str = "0123456789abcdef";

/// The status of a call that believes in one root.
async fn call(address: SocketAddr, root: Vec<u8>, token: &str) -> Result<u16, String> {
    let config = identity::plane_client_config(vec![CertificateDer::from(root)], None).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    // The certificate names no host.
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| error.to_string())?;
    let request = http::Request::get("/leno/v1/status").header("authorization", format!("Bearer {token}"));
    let answer = send_over(stream, request.body(Default::default()).unwrap(), Limits::default()).await;
    Ok(answer.map_err(|error| error.to_string())?.status().as_u16())
}

#[tokio::test]
async fn a_plane_shows_its_own_certificate_where_no_other_is_named() {
    let bench = Bench::new();
    let tokens = bench.path().join("tokens");
    std::fs::write(&tokens, format!("{TOKEN},alice,view\n")).unwrap();
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut options = bench.options("west", &bench.config());
    options.api.push("127.0.0.1:0".parse().unwrap());
    options.api_access = ApiOptions { api_token_file: Some(tokens), ..ApiOptions::default() };
    let running = bench.start_with("west", options).await;
    let [BindAddress::Unix(_), BindAddress::Tcp(address)] = running.api[..] else {
        panic!("{:?}", running.api)
    };
    let root = bench.root.bundle().roots[0].clone();
    assert_eq!(call(address, root.clone(), TOKEN).await, Ok(200));
    assert_eq!(call(address, root, "fedcba9876543210").await, Ok(401));
    let foreign = ca::Root::generate(bench.root.trust_domain().clone(), Duration::from_secs(600)).unwrap();
    let told = call(address, foreign.bundle().roots[0].clone(), TOKEN).await.unwrap_err();
    assert!(told.contains("certificate"), "{told}");
    // What a workload of the mesh shows is not a plane's, though the same root vouches for it.
    let id = model::SpiffeId::parse("spiffe://leno.demo/ns/default/sa/web").unwrap();
    let key = identity::Key::generate().unwrap();
    let chain = bench.root.sign_leaf(&key.csr().unwrap(), &id, Duration::from_secs(600)).unwrap();
    let workload = Identity::new(vec![bench.root.bundle()]);
    workload.install(identity::Svid::new(key, chain).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(workload.server_config(Clients::None, &[b"http/1.1"]));
    let (told, _) = tokio::join!(call(address, bench.root.bundle().roots[0].clone(), TOKEN), async {
        acceptor.accept(listener.accept().await.unwrap().0).await
    });
    assert!(told.unwrap_err().contains("certificate"), "a workload is no plane");
    running.stop().await;
}
