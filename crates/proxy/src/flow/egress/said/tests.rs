use super::*;

fn check(seen: &[u8], expected: FirstBytes) {
    assert_eq!(said(seen), expected, "{:?}", String::from_utf8_lossy(seen));
}

#[test]
fn the_host_of_a_request_is_said_once() {
    let name = |text: &str| FirstBytes::Name(text.to_owned(), SaidIn::Http);
    check(b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n", name("a.example.com"));
    check(b"GET / HTTP/1.1\r\nx: y\r\nhOST:a.example.com:8080\r\n\r\n", name("a.example.com"));
    check(b"GET / HTTP/1.1\r\nHost: a", FirstBytes::More);
    check(b"GET / HTTP/1.1\r\n\r\n", FirstBytes::Nothing);
    check(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", FirstBytes::Nothing);
    check(b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", FirstBytes::Nothing);
    check(b"SSH-2.0-x\r\n", FirstBytes::Nothing);
}

#[test]
fn the_server_name_of_tls_is_said_in_its_first_message() {
    let hello = client_hello("api.example.com");
    check(&hello, FirstBytes::Name("api.example.com".to_owned(), SaidIn::Tls));
    check(&hello[..hello.len() - 1], FirstBytes::More);
    check(&hello[..1], FirstBytes::More);
    let mut broken = hello.clone();
    broken[5] = 9;
    check(&broken, FirstBytes::Nothing);
    check(&client_hello("192.0.2.1"), FirstBytes::Nothing);
}

fn client_hello(name: &str) -> Vec<u8> {
    let config = identity::client_config_for(rustls::RootCertStore::empty());
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut hello = Vec::new();
    rustls::ClientConnection::new(config, name).unwrap().write_tls(&mut hello).unwrap();
    hello
}
