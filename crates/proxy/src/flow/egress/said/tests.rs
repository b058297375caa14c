use super::*;

fn check(seen: &[u8], expected: Said) {
    assert_eq!(said(seen), expected, "{:?}", String::from_utf8_lossy(seen));
}

#[test]
fn the_host_of_a_request_is_said_once() {
    let name = |text: &str| Said::Name(text.to_owned());
    check(b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n", name("a.example.com"));
    check(b"GET / HTTP/1.1\r\nx: y\r\nhOST:a.example.com:8080\r\n\r\n", name("a.example.com"));
    check(b"GET / HTTP/1.1\r\nHost: a", Said::More);
    check(b"GET / HTTP/1.1\r\n\r\n", Said::Nothing);
    check(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Said::Nothing);
    check(b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Said::Nothing);
    check(b"SSH-2.0-x\r\n", Said::Nothing);
}

#[test]
fn the_server_name_of_tls_is_said_in_its_first_message() {
    let hello = client_hello("api.example.com");
    check(&hello, Said::Name("api.example.com".to_owned()));
    check(&hello[..hello.len() - 1], Said::More);
    check(&hello[..1], Said::More);
    let mut broken = hello.clone();
    broken[5] = 9;
    check(&broken, Said::Nothing);
    check(&client_hello("192.0.2.1"), Said::Nothing);
}

fn client_hello(name: &str) -> Vec<u8> {
    let config = identity::client_config_for(rustls::RootCertStore::empty());
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut hello = Vec::new();
    rustls::ClientConnection::new(config, name).unwrap().write_tls(&mut hello).unwrap();
    hello
}
