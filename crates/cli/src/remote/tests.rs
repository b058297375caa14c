#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use clap::Parser;
use fixtures::pki::TestAuthority;
use identity::rustls::pki_types::PrivateKeyDer;
use identity::rustls::version::TLS13;
use identity::rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rcgen::{DnType, KeyPair, SanType};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    server: Server,
}

fn server(line: &str) -> Server {
    Program::try_parse_from(["leno"].into_iter().chain(line.split_whitespace())).unwrap().server
}

/// What is wrong with the options, and the exit code.
fn refused(line: &str) -> (i32, String) {
    let failure = server(line).remote().map(drop).unwrap_err();
    (failure.code, format!("{:#}", failure.cause))
}

/// Answers one request with what it was.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
    }
    let head = String::from_utf8(bytes).unwrap();
    let body = json!({ "head": head.to_lowercase() }).to_string();
    let text =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_called_with_and_without_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let (path, token) = (directory.path().join("api.sock"), directory.path().join("token"));
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    for (options, expected) in [
        (String::new(), None),
        (format!("--token-file {}", token.display()), Some("bearer 0123456789abcdef")),
    ] {
        let remote = server(&format!("--server unix:{} {options}", path.display())).remote().unwrap();
        let (got, ()) = tokio::join!(remote.get("/leno/v1/status"), async {
            answer(listener.accept().await.unwrap().0).await;
        });
        let head = got.unwrap()["head"].as_str().unwrap().to_owned();
        assert!(head.starts_with("get /leno/v1/status http/1.1\r\n"), "{head}");
        assert_eq!(head.lines().find_map(|line| line.strip_prefix("authorization: ")), expected, "{head}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_told_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let told = async |path: &Path| {
        let remote = server(&format!("--server unix:{}", path.display())).remote().unwrap();
        let failure = remote.get("/").await.unwrap_err();
        assert_eq!(failure.code, UNREACHABLE);
        format!("{:#}", failure.cause)
    };
    let missing = told(&directory.path().join("missing")).await;
    assert!(missing.contains("missing is not there; start it on this host"), "{missing}");
    let dead = directory.path().join("dead");
    drop(UnixListener::bind(&dead).unwrap());
    let told = told(&dead).await;
    assert!(told.contains("does not answer; name another with --server"), "{told}");
}

#[test]
fn options_that_make_no_sense_together_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (token, two, nothing) = (file("token", "abc"), file("two", "a b"), file("nothing", "\n"));
    let https = "--server https://127.0.0.1:1";
    for (line, expected) in [
        ("--server unix:a.sock".to_owned(), "absolute"),
        ("--server ftp://a:1".to_owned(), "write unix:PATH, https://HOST:PORT or http://HOST:PORT"),
        ("--server https://127.0.0.1".to_owned(), "write unix:PATH"),
        (format!("--server http://127.0.0.1:1 --token-file {token}"), "a token is not sent over plain HTTP"),
        (format!("--server 127.0.0.1:1 --client-key {token}"), "--client-key is for https"),
        (format!("--server unix:/a --certificate-authority {token}"), "--certificate-authority is for https"),
        (format!("--server unix:/a --token-file {two}"), "it holds no token, or more than one"),
        (format!("--server unix:/a --token-file {nothing}"), "it holds no token"),
        ("--server unix:/a --token-file /no/such".to_owned(), "read /no/such"),
        (https.to_owned(), "https needs --certificate-authority"),
        (format!("{https} --certificate-authority {token}"), "token: no certificates in PEM"),
        (
            format!("{https} --certificate-authority {token} --client-key {token}"),
            "needs --client-certificate",
        ),
        (
            format!("{https} --certificate-authority {token} --client-certificate {token}"),
            "needs --client-key",
        ),
    ] {
        let (code, told) = refused(&line);
        assert!(code == USAGE && told.contains(expected), "{line}: {code} {told}");
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[tokio::test]
async fn https_shows_a_certificate_and_believes_its_authority_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (authority, other) = (TestAuthority::root("authority"), TestAuthority::root("other"));
    let (key, client_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let chain = authority.leaf_for(&key, "urn:none", |params| {
        params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
    });
    let client = authority.leaf_for(&client_key, "urn:none", |params| {
        params.subject_alt_names.clear();
        params.distinguished_name.push(DnType::CommonName, "carol");
    });
    let mut roots = RootCertStore::empty();
    roots.add(authority.root_der().into()).unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), identity::provider()).build().unwrap();
    let config = ServerConfig::builder_with_provider(identity::provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            chain.into_iter().map(Into::into).collect(),
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let good = file("good.pem", pem("CERTIFICATE", &authority.root_der()));
    let bad = file("bad.pem", pem("CERTIFICATE", &other.root_der()));
    let own = format!(
        "--client-certificate {} --client-key {}",
        file("client.pem", client.iter().map(|der| pem("CERTIFICATE", der)).collect()),
        file("client.key", client_key.serialize_pem())
    );
    let call = async |line: &str| {
        let remote = server(&format!("--server https://{address} {line}")).remote().unwrap();
        let serving = Box::pin(async {
            match acceptor.accept(listener.accept().await.unwrap().0).await {
                Ok(stream) => {
                    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                    answer(stream).await;
                    Some(shown)
                }
                Err(_) => None,
            }
        });
        tokio::join!(remote.get("/leno/v1/status"), serving)
    };
    let (got, shown) = call(&format!("--certificate-authority {good} {own}")).await;
    assert!(got.is_ok());
    assert_eq!(shown.as_ref(), client.first());
    let (got, _) = call(&format!("--certificate-authority {bad} {own}")).await;
    let failure = got.unwrap_err();
    let told = format!("{:#}", failure.cause);
    assert!(failure.code == UNREACHABLE && told.contains("see --certificate-authority"), "{told}");
    let (got, _) = call(&format!("--certificate-authority {good}")).await;
    let told = format!("{:#}", got.unwrap_err().cause);
    assert!(told.contains("--client-certificate"), "{told}");
}
