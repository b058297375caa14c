#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::VaultOptions;
use super::api::{VaultApi, VaultCall};
use crate::issuer::{IssueError, IssuerOptions, OpenError, open};
use identity::{Key, rustls};
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What is said of an address with these options.
fn opened(address: &str, change: impl FnOnce(&mut IssuerOptions)) -> Result<(), OpenError> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    fs::write(path("ca.pem"), certificate.pem()).unwrap();
    fs::write(path("token"), "hvs.secret\n").unwrap();
    fs::write(path("nonsense"), "no secret at all").unwrap();
    let mut options = IssuerOptions { issuer: Some(address.into()), ..IssuerOptions::default() };
    options.trust_domain = model::TrustDomain::parse("a.test");
    options.vault.vault_ca_file = Some(path("ca.pem"));
    options.vault.vault_token_file = Some(path("token"));
    change(&mut options);
    // Files are named in the directory of this test.
    for file in [&mut options.vault.vault_ca_file, &mut options.vault.vault_token_file].into_iter().flatten()
    {
        *file = path(&file.to_string_lossy());
    }
    open(&options).map(drop)
}

#[test]
fn an_address_names_host_port_mount_and_perhaps_a_role() {
    for good in [
        "vault:https://127.0.0.1:8200/pki",
        "vault:https://vault.example:8200/pki/west/",
        "vault:https://[::1]:8200/pki?role=leno-manager",
    ] {
        opened(good, |_| {}).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for bad in [
        "vault:",
        "vault:http://127.0.0.1:8200/pki",
        "vault:https://127.0.0.1:8200",
        "vault:https://127.0.0.1:8200/",
        "vault:https://127.0.0.1:8200/../sys",
        "vault:https://127.0.0.1:8200/p%6bi",
        "vault:https://127.0.0.1:8200/pki?rule=x",
        "vault:https://127.0.0.1:8200/pki?role=",
        "vault:https://127.0.0.1/pki",
        "vault:https://127.0.0.1:0/pki",
        "vault:https://a b:8200/pki",
    ] {
        let error = opened(bad, |_| {}).unwrap_err();
        assert!(matches!(error, OpenError::Address { .. }), "{bad}: {error}");
    }
}

#[test]
fn what_is_missing_or_wrong_is_told_and_no_secret() {
    let check = |change: fn(&mut IssuerOptions), expected: &str| {
        let error = opened("vault:https://127.0.0.1:8200/pki", change).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("no secret at all"), "{error}");
    };
    check(|options| options.trust_domain = None, "needs --trust-domain");
    check(|options| options.vault.vault_token_file = None, "needs --vault-token-file");
    check(|options| options.vault.vault_token_file = Some("nowhere".into()), "(--vault-token-file)");
    check(|options| options.vault.vault_token_file = Some("nonsense".into()), "is no secret of Vault");
    check(|options| options.vault.vault_ca_file = Some("nowhere".into()), "(--vault-ca-file)");
    check(|options| options.vault.vault_ca_file = Some("nonsense".into()), "no certificate in it");
    check(
        |options| options.issuer_token_file = Some("token".into()),
        "--issuer-token-file is for tls:// alone",
    );
    let others = opened("unix:/run/leno/root.sock", |_| {}).unwrap_err();
    assert!(matches!(others, OpenError::VaultUnused(_)), "{others}");
}

#[test]
fn a_request_is_pem() {
    let csr = Key::generate().unwrap().csr().unwrap();
    let pem = super::request_pem(&csr);
    let again = rcgen::CertificateSigningRequestParams::from_pem(&pem);
    assert!(again.is_ok(), "{pem}");
}

/// What a call gets from a server on this machine that answers so, whatever it is asked.
async fn answered(answer: &'static [u8]) -> Result<Value, IssueError> {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    fs::write(&ca_file, certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let pkcs8 = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let chain = vec![certificate.der().clone()];
    let config = config.unwrap().with_no_client_auth().with_single_cert(chain, pkcs8).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = VaultOptions { vault_ca_file: Some(ca_file), ..VaultOptions::default() };
    let api = VaultApi::new(&listener.local_addr().unwrap().to_string(), &options).unwrap();
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        // Who asks may have heard enough.
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("GET /v1/auth/token/lookup-self HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains("x-vault-token: hvs.x\r\n"), "{head}");
    };
    let call = VaultCall { path: "auth/token/lookup-self", token: Some("hvs.x"), body: None };
    tokio::join!(api.call(call), serving).0
}

#[tokio::test]
async fn what_vault_says_is_told_and_nonsense_is_an_error() {
    let good = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"a\": 1}").await.unwrap();
    assert_eq!(good["a"], 1);
    let check = async |answer: &'static [u8], expected: &str| {
        let error = answered(answer).await.unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error}: {cause}").contains(expected), "{error}: {cause}, not {expected}");
    };
    let denied = b"HTTP/1.1 403 x\r\ncontent-length: 32\r\n\r\n{\"errors\":[\"permission denied\"]}";
    check(
        denied,
        "lookup-self (the token is unknown or expired, or its policy does not allow this): permission",
    )
    .await;
    let sealed = b"HTTP/1.1 503 x\r\ncontent-length: 30\r\n\r\n{\"errors\":[\"Vault is sealed\"]}";
    check(sealed, "Vault answered 503 to auth/token/lookup-self (sealed").await;
    check(b"HTTP/1.1 502 x\r\ncontent-length: 5\r\n\r\nhello", "Vault answered 502").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "no JSON").await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n";
    check([head.as_slice(), &[b' '; 300_000]].concat().leak(), "too large").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "ask the holder of the root").await;
    check(b"SSH-2.0-OpenSSH_9.2\r\n", "ask the holder of the root").await;
    check(b"", "ask the holder of the root").await;
}
