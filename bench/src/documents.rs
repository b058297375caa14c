//! Documents of a gateway, of any number.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// A Backend may have 1,024.
const ENDPOINTS_PER_BACKEND: usize = 1000;

/// How the Gateway is called.
pub(crate) const GATEWAY: &str = "g";

/// A Gateway that listens there.
pub(crate) fn gateway(from: SocketAddr) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: {GATEWAY}\n  annotations:\n    \
         leno.dev/bind-address: {}\nspec:\n  gatewayClassName: leno\n  listeners:\n  \
         - {{name: http, protocol: HTTP, port: {}}}\n",
        from.ip(),
        from.port()
    )
}

/// A Backend of these addresses.
pub(crate) fn backend(name: &str, addresses: impl Iterator<Item = SocketAddr>) -> String {
    let mut text = format!(
        "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\nspec:\n  type: Static\n  addresses:\n"
    );
    for address in addresses {
        let _ = writeln!(text, "  - {{host: {}, port: {}}}", address.ip(), address.port());
    }
    text
}

/// An HTTPRoute of its own host and path to the Backend `b`.
pub(crate) fn route(name: &str, n: usize) -> String {
    route_to(name, n, 1)
}

/// The same to the first `backends` of `b`, `b-1` and so on.
fn route_to(name: &str, n: usize, backends: usize) -> String {
    let references = (0..backends)
        .map(|n| format!("    - {{group: leno.dev, kind: Backend, name: {}}}\n", backend_name(n)))
        .collect::<String>();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: {name}\nspec:\n  parentRefs:\n  \
         - name: {GATEWAY}\n  hostnames:\n  - host-{n}.example.com\n  rules:\n  - matches:\n    - path:\n        \
         type: PathPrefix\n        value: /route-{n}\n    backendRefs:\n{references}"
    )
}

fn backend_name(n: usize) -> String {
    if n == 0 { "b".to_owned() } else { format!("b-{n}") }
}

/// The address of endpoint `n`, where nobody is.
pub(crate) fn endpoint(n: usize) -> SocketAddr {
    SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 8080))
}

/// A gateway with so many routes to one Backend, and one route to all of so many endpoints.
pub(crate) fn all(from: SocketAddr, routes: usize, endpoints: usize) -> String {
    let backends = endpoints.div_ceil(ENDPOINTS_PER_BACKEND);
    let mut documents = vec![gateway(from), route_to("all", 0, backends)];
    documents.extend((0..backends).map(|n| {
        let first = n * ENDPOINTS_PER_BACKEND;
        let last = (first + ENDPOINTS_PER_BACKEND).min(endpoints);
        backend(&backend_name(n), (first..last).map(endpoint))
    }));
    documents.extend((1..=routes).map(|n| route(&format!("route-{n}"), n)));
    documents.join("---\n")
}
