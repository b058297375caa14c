//! Truth 6: everything between hosts is mutual TLS 1.3, and nobody without a good identity gets in.

use crate::demo::{DEADLINE, Demo, assert_no_failure, wait_until};
use crate::pcap::{Segment, plaintext, segments};
use lab::protocol::Manner;

const NETWORKS: [&str; 3] = ["west", "east", "backbone"];

fn capture(demo: &Demo, name: &str, during: impl FnOnce()) -> Vec<(&'static str, Vec<Segment>)> {
    let of = |network: &str| format!("{name}-{network}");
    for network in NETWORKS {
        demo.client.start_capture(network, &of(network)).expect("a capture");
    }
    during();
    let end = |network| (network, segments(&demo.client.end_capture(&of(network)).expect("its file")));
    NETWORKS.into_iter().map(end).collect()
}

#[test]
fn t06_captures_on_every_bridge_show_no_plaintext() {
    let demo = Demo::start("t06");
    let entrance = demo.status().entrances["edge"].clone();
    let captures = capture(&demo, "clean", || {
        let mut load = demo.load("west/client", 100, "60s", &["http://web-api.mesh.internal/"]);
        load.wait_for_more(100);
        // Across the clusters too, so that the backbone carries requests.
        demo.scale("west/purchase-history", 0, Manner::Graceful);
        load.wait_for_more(200);
        for _ in 0..10 {
            assert_eq!(crate::entry::get(&entrance, "/").0, 200);
        }
        assert_no_failure(&load.end());
    });
    for (network, segments) in &captures {
        let mesh = segments.iter().filter(|s| s.destination_port == 15008 || s.source_port == 15008).count();
        println!("{network}: {} segments, {mesh} of the mesh transport", segments.len());
        assert!(mesh >= 50, "the capture on {network} shows {mesh} segments of the mesh transport");
        assert_eq!(plaintext(segments), None, "on {network}");
        assert_tls13_only(network, segments);
    }
    // The control run: plaintext planted on the bridge, from a host without capture, is caught.
    let planted = capture(&demo, "planted", || {
        let url = "http://10.244.0.11:8080/";
        let _ = demo.exec("west/control", &["curl", "-s", "--max-time", "5", url]);
    });
    assert!(plaintext(&planted[0].1).is_some(), "planted plaintext must be seen on west");
}

/// Every ServerHello on the mesh port chose TLS 1.3 (RFC 8446 section 4.2.1: `supported_versions` 0x0304).
fn assert_tls13_only(network: &str, segments: &[Segment]) {
    let is_hello = |s: &&Segment| s.payload.first() == Some(&22) && s.payload.get(5) == Some(&2);
    let hellos: Vec<_> = segments.iter().filter(is_hello).collect();
    assert!(!hellos.is_empty(), "no handshake was seen on {network}");
    for hello in hellos {
        let chosen = hello.payload.windows(6).any(|window| window == [0, 43, 0, 2, 3, 4]);
        assert!(chosen, "a ServerHello on {network} from port {} is not TLS 1.3", hello.source_port);
    }
}

fn refused(demo: &Demo, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    demo.metric("west/web-api", 15000, "leno_refused_connections_total", &[&label])
}

/// A TLS client in west's control host (which has no capture) tries the mesh port of `west/web-api`.
fn try_mesh_port(demo: &Demo, arguments: &[&str]) -> std::process::Output {
    let url = "https://10.244.0.11:15008/";
    let command =
        ["curl", "-sk", "--http2", "--max-time", "5", "-H", "x-leno-destination: 10.244.0.11:8080", url];
    demo.exec("west/control", &[&command[..], arguments].concat())
}

#[test]
fn t06_without_a_good_certificate_nobody_gets_in_and_the_refusal_says_why() {
    let demo = Demo::start_with("t06r", &["--certificate-ttl-s", "30"]);
    let output = try_mesh_port(&demo, &[]);
    assert!(!output.status.success(), "without a certificate: {}", crate::demo::text(&output));
    expect_refusal(&demo, "peer_without_certificate");

    let url = "http://10.244.0.11:8080/";
    let output = demo.exec("west/control", &["curl", "-s", "--max-time", "5", url]);
    assert!(!output.status.success(), "plaintext: {}", crate::demo::text(&output));
    expect_refusal(&demo, "plaintext_refused");

    let stranger = stranger_certificate();
    let cert = demo.write_in_host("west/control", "stranger.pem", &stranger.0);
    let key = demo.write_in_host("west/control", "stranger.key", &stranger.1);
    let output = try_mesh_port(&demo, &["--cert", &cert, "--key", &key]);
    assert!(!output.status.success(), "another trust domain: {}", crate::demo::text(&output));
    expect_refusal(&demo, "peer_trust_domain_unknown");

    // Joins as a proxy would, keeps the key, and waits until the certificate has expired.
    let token = demo.client.token("west", "client").expect("a token");
    let member = crate::rogue::join_in_lab(&demo, &token);
    let (cert, key) = (member.certificate.as_str(), member.key.as_str());
    // The control run: while it is valid, the same call with the same tools is let in.
    let output = try_mesh_port(&demo, &["--cert", cert, "--key", key]);
    assert!(output.status.success(), "a member is let in: {}", crate::demo::text(&output));
    wait_until("the certificate expires and is refused", || {
        assert!(member.obtained.elapsed() < DEADLINE, "still accepted");
        !try_mesh_port(&demo, &["--cert", cert, "--key", key]).status.success()
    });
    expect_refusal(&demo, "peer_certificate_expired");
}

fn expect_refusal(demo: &Demo, reason: &str) {
    wait_until(&format!("{reason} is counted"), || refused(demo, reason) >= 1.0);
    wait_until(&format!("{reason} is logged"), || {
        demo.client.log("west/web-api", "proxy").expect("a log").contains(reason)
    });
}

/// A leaf of a trust domain that nobody here trusts: `(chain, key)` as PEM.
fn stranger_certificate() -> (String, String) {
    let name = "spiffe://stranger.example/ns/default/sa/client";
    let root_key = rcgen::KeyPair::generate().expect("a key");
    let mut root = rcgen::CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::from_params(&root, &root_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut leaf = rcgen::CertificateParams::default();
    leaf.subject_alt_names = vec![rcgen::SanType::URI(name.try_into().expect("ASCII"))];
    leaf.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let certificate = leaf.signed_by(&key, &issuer).expect("signed");
    (certificate.pem(), key.serialize_pem())
}
