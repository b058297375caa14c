//! A member that keeps its key: joins as a proxy would, but on disk, so that tests can misuse what it got.
//!
//! Joining must happen inside the lab's namespaces, so this program runs itself there.

use crate::demo::Demo;
use identity::{Expect, Identity};
use std::time::Instant;
use xds::grpc::{Channel, Join};

/// Where the member's certificate and key are, inside the lab.
pub(crate) struct Member {
    pub certificate: String,
    pub key: String,
    pub obtained: Instant,
}

/// Joins from west's control host with a token of west.
pub(crate) fn join_in_lab(demo: &Demo, token: &str) -> Member {
    let this = std::env::current_exe().expect("this program");
    let this = this.to_str().expect("UTF-8");
    let (certificate, key) = ("/run/leno/member.pem".to_owned(), "/run/leno/member.key".to_owned());
    let variables = [
        format!("ROGUE_TOKEN={token}"),
        format!("ROGUE_CERTIFICATE={certificate}"),
        format!("ROGUE_KEY={key}"),
    ];
    let mut command = vec!["env"];
    command.extend(variables.iter().map(String::as_str));
    command.extend([this, "--exact", "rogue::joins_from_inside_the_lab", "--ignored", "--nocapture"]);
    demo.run("west/control", &command);
    Member { certificate, key, obtained: Instant::now() }
}

#[test]
#[ignore = "a program of its own, run inside a lab by join_in_lab"]
fn joins_from_inside_the_lab() {
    let variable = |name: &str| std::env::var(name).expect("set by join_in_lab");
    let token = variable("ROGUE_TOKEN");
    let pin = ca::token::JoinToken::parse(&token).expect("a token").root_pin();
    let key = rcgen::KeyPair::generate().expect("a key");
    let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("a CSR");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let joined = runtime.block_on(async {
        let identity = Identity::new(Vec::new());
        let tls = identity.client_config(Expect::PinnedRoot(pin), &[b"h2"]);
        let channel = Channel::connect(([10, 244, 0, 2], 15012).into(), tls).await.expect("connected");
        let join = Join { token, csr: csr.der().to_vec(), ..Join::default() };
        channel.join(&join).await.expect("joined")
    });
    let pem: String = joined.chain.iter().map(|der| certificate_pem(der)).collect();
    std::fs::write(variable("ROGUE_CERTIFICATE"), pem).expect("written");
    std::fs::write(variable("ROGUE_KEY"), key.serialize_pem()).expect("written");
}

fn certificate_pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
