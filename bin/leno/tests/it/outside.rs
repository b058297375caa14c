//! Out to the world by a gateway: a backend by name, followed when its address changes.

use crate::demo::wait_until;
use crate::gateway::{Gateway, answers, backend, backend_at, free_address};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// A name server; names have one address of IPv4.
fn name_server(zone: Arc<Mutex<HashMap<&'static str, Ipv4Addr>>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut query = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            let reply = answer(&query[..length], &zone.lock().expect("no panic"));
            let _ = socket.send_to(&reply, client);
        }
    });
    address
}

/// RFC 1035 section 4: the question comes back, and for a query of type A the address, for one second.
fn answer(query: &[u8], zone: &HashMap<&'static str, Ipv4Addr>) -> Vec<u8> {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    let is_a = query[at + 1..at + 3] == [0, 1];
    let found = zone.get(labels.join(".").as_str()).filter(|_| is_a);
    let mut reply = query[..at + 5].to_vec();
    reply[2] |= 0x80;
    reply[4..12].copy_from_slice(&[0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    if let Some(ip) = found {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend(ip.octets());
    }
    reply
}

#[test]
fn a_backend_by_name_is_followed_when_its_address_changes() {
    let first = backend("one");
    let second = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), first.port()));
    backend_at(second, "two");
    let zone = Arc::new(Mutex::new(HashMap::from([("api.example.test", Ipv4Addr::LOCALHOST)])));
    let names = name_server(Arc::clone(&zone));
    let (from, directory) = (free_address(), tempfile::tempdir().expect("a directory"));
    let port = from.rsplit_once(':').expect("a port").1;
    let documents = format!(
        r#"apiVersion: leno.dev/v1alpha1
kind: MeshSettings
metadata: {{name: default}}
spec: {{egress: {{allowedMetadata: [127.0.0.0/8]}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gateway, annotations: {{leno.dev/bind-address: 127.0.0.1}}}}
spec: {{gatewayClassName: leno, listeners: [{{name: http, port: {port}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route}}
spec: {{parentRefs: [{{name: gateway}}], rules: [{{backendRefs: [{{group: leno.dev, kind: Backend, name: api}}]}}]}}
---
apiVersion: leno.dev/v1alpha1
kind: Backend
metadata: {{name: api, annotations: {{leno.dev/resolvers: "{names}"}}}}
spec: {{type: Static, addresses: [{{host: api.example.test, port: {}}}]}}
"#,
        first.port()
    );
    std::fs::write(directory.path().join("outside.yaml"), documents).expect("written");
    let _gateway = Gateway::start(&["-f", directory.path().to_str().expect("text"), "--workers", "1"]);
    let says = |name: &str| answers(&from, "/").is_some_and(|body| body.starts_with(name));
    wait_until("the first is found", || says("one"));
    zone.lock().expect("no panic").insert("api.example.test", Ipv4Addr::new(127, 0, 0, 2));
    wait_until("the second is found", || says("two"));
}
