#![allow(clippy::unwrap_used, reason = "a test may panic")]
use super::*;

#[test]
fn the_short_form_stands_for_valid_documents() {
    for (from, to, protocol) in [
        (":8080", ":9000", "http"),
        ("127.0.0.1:8080", "10.0.0.1:80", "http"),
        ("[::1]:8080", "localhost:9000", "http"),
        (":8080", "http://localhost:9000/", "http"),
        (":8080", "grpc://:9000", "grpc"),
    ] {
        let text = gateway(from, to).unwrap();
        let (objects, findings) = api::parse::documents(&text, "");
        assert_eq!((objects.len(), findings), (3, vec![]), "{from} {to}");
        assert!(text.contains(&format!("\n  protocol: {protocol}\n")), "{text}");
    }
}

#[test]
fn what_is_no_address_is_named() {
    for (from, to, option) in [
        ("8080", ":9000", "--from"),
        (":8080", "example.com:80", "--to"),
        (":0", ":1", "--from"),
        (":1", "https://:2", "--to"),
    ] {
        assert_eq!(gateway(from, to).unwrap_err().option, option);
    }
}

#[test]
fn a_host_name_is_told_from_what_is_no_address() {
    let told = |to: &str| gateway(":1", to).unwrap_err().to_string().contains("host names are not supported");
    for name in ["shop.example:80", "grpc://shop.example:80/", "https://shop:80"] {
        assert!(told(name), "{name}");
    }
    for other in ["shop.example", "1.2.3.4:0", "1.2.3.4:x", "a b:80", ""] {
        assert!(!told(other), "{other}");
    }
}
