use super::{OpaquePorts, service_port};
use api::fields::port::{PortProtocol, ServicePortSpec, TargetPort};
use model::service::Protocol::{self, Http1, Http2, Tcp, Undeclared};

fn port(name: &str, hint: &str, number: u16) -> ServicePortSpec {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ServicePortSpec { name: text(name), app_protocol: text(hint), port: number, ..ServicePortSpec::default() }
}

fn check(name: &str, hint: &str, number: u16, expected: Protocol) {
    let found = service_port(&port(name, hint, number), None, &OpaquePorts::Default);
    let found = found.map(|port| port.protocol);
    assert_eq!(found, Some(expected), "name `{name}`, appProtocol `{hint}`, port {number}");
}

#[test]
fn names_declare_by_the_word_before_the_dash() {
    for (name, expected) in [
        ("http", Http1),
        ("http-web", Http1),
        ("HTTP", Http1),
        ("http2", Http2),
        ("http2-api", Http2),
        ("grpc", Http2),
        ("grpc-api", Http2),
        ("grpc-web", Http2),
        ("grpc-web-x", Http2),
        ("tcp", Tcp),
        ("tls", Tcp),
        ("https", Tcp),
        ("https-web", Tcp),
        ("mongo", Tcp),
        ("mysql-a", Tcp),
        ("redis", Tcp),
        ("", Undeclared),
        ("web", Undeclared),
        ("httpx", Undeclared),
        ("web-http", Undeclared),
    ] {
        check(name, "", 80, expected);
        // The same words mean the same as `appProtocol`.
        check("", name, 80, expected);
    }
}

#[test]
fn app_protocol_wins_over_the_name_where_it_is_known() {
    for (hint, expected) in [
        ("kubernetes.io/h2c", Http2),
        ("kubernetes.io/ws", Http1),
        ("kubernetes.io/wss", Tcp),
        ("http", Http1),
        ("HTTP2", Http2),
        ("https", Tcp),
        ("grpc-web", Http2),
        ("tcp", Tcp),
    ] {
        for name in ["", "web", "tcp-a", "http-a", "grpc-a"] {
            check(name, hint, 80, expected);
        }
    }
}

#[test]
fn an_app_protocol_of_others_says_nothing() {
    for hint in
        ["mycompany.com/x", "mycompany.com/http", "http.io/x", "kubernetes.io/other", "postgresql", "ssh"]
    {
        check("", hint, 80, Undeclared);
        check("web", hint, 80, Undeclared);
        check("http-web", hint, 80, Http1);
        check("grpc", hint, 80, Http2);
        check("tcp-a", hint, 80, Tcp);
    }
}

#[test]
fn where_servers_speak_first_nobody_waits_for_the_client() {
    for number in [25, 53, 3306, 27017] {
        check("", "", number, Tcp);
        check("db", "mycompany.com/x", number, Tcp);
        // Who says what it is knows better.
        check("http", "", number, Http1);
        check("", "kubernetes.io/h2c", number, Http2);
    }
    for number in [587, 4444, 5432, 6379, 9300, 11211] {
        check("", "", number, Tcp);
        check("http", "", number, Http1);
    }
}

#[test]
fn an_annotation_lists_what_is_opaque_instead() {
    let annotations = [("config.linkerd.io/opaque-ports".to_owned(), "80,9000-9001".to_owned())].into();
    let opaque = OpaquePorts::annotated(&annotations);
    for (name, number, expected) in [
        ("http", 80, Tcp),
        ("", 9001, Tcp),
        ("", 9002, Undeclared),
        ("", 3306, Undeclared),
        ("mysql", 3306, Tcp),
    ] {
        let found = service_port(&port(name, "", number), None, &opaque).map(|port| port.protocol);
        assert_eq!(found, Some(expected), "{name} {number}");
    }
}

#[test]
fn a_global_port_takes_from_the_local_one_what_it_does_not_say() {
    let local = service_port(
        &ServicePortSpec { target_port: Some(TargetPort::Number(8080)), ..port("http", "", 80) },
        None,
        &OpaquePorts::Default,
    );
    let global = |name: &str, hint: &str| {
        let found = service_port(&port(name, hint, 80), local.as_ref(), &OpaquePorts::Default);
        found.map(|port| (port.target_port, port.protocol))
    };
    assert_eq!(global("", ""), Some((8080, Http1)));
    assert_eq!(global("", "mycompany.com/x"), Some((8080, Http1)));
    assert_eq!(global("grpc", ""), Some((8080, Http2)));
    assert_eq!(
        service_port(
            &ServicePortSpec { protocol: Some(PortProtocol::Udp), ..port("http", "", 80) },
            None,
            &OpaquePorts::Default
        ),
        None
    );
}
