//! The peers' configuration, tuned for many small requests over kept connections, without logs.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Wire;

/// Requests per connection before nginx would close it: never, for a measurement.
const REQUESTS_PER_CONNECTION: u64 = 1_000_000_000;
/// Idle connections that nginx keeps to the backend; more than the generator opens.
const KEPT_CONNECTIONS: usize = 512;

fn nginx(folder: &str, http: &str) -> String {
    format!(
        "worker_processes 1;
daemon off;
user root;
pid {folder}/nginx-{}.pid;
error_log stderr crit;
events {{ worker_connections 8192; multi_accept on; }}
http {{
    access_log off;
    tcp_nodelay on;
    server_tokens off;
    keepalive_timeout 300s;
    keepalive_requests {REQUESTS_PER_CONNECTION};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
",
        http.len()
    )
}

pub(super) fn nginx_backend(folder: &str, address: SocketAddr) -> String {
    let body = "x".repeat(100);
    nginx(
        folder,
        &format!("server {{ listen {address} backlog=4096; location / {{ return 200 \"{body}\"; }} }}"),
    )
}

pub(super) fn nginx_proxy(folder: &str, from: SocketAddr, to: SocketAddr) -> String {
    // Without HTTP/1.1 and the upstream pool, nginx opens a connection per request.
    nginx(
        folder,
        &format!(
            "upstream backend {{ server {to}; keepalive {KEPT_CONNECTIONS}; keepalive_requests {REQUESTS_PER_CONNECTION}; }}
    server {{
        listen {from} backlog=4096;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
        }}
    }}"
        ),
    )
}

/// Connections are kept and shared.
pub(super) const HAPROXY_REUSE: &str = "    option http-keep-alive
    http-reuse always
    timeout http-keep-alive 300s
";
/// Long enough never to matter here.
pub(super) const HAPROXY_TIMEOUTS: &str = "    timeout connect 5s
    timeout client 300s
    timeout server 300s
";

pub(super) fn haproxy(wire: Wire, from: SocketAddr, to: SocketAddr) -> String {
    let proto = if wire == Wire::Http2 { " proto h2" } else { "" };
    format!(
        "global
    nbthread 1
    maxconn 8192
    no log
defaults
    mode http
    no log
{HAPROXY_REUSE}{HAPROXY_TIMEOUTS}frontend in
    bind {from}{proto}
    default_backend out
backend out
    server one {to}{proto}
"
    )
}

pub(super) fn envoy_command(program: &str, config: &str) -> Vec<String> {
    let options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
    [program, "-c", config].iter().chain(&options).map(|word| (*word).to_owned()).collect()
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// A configuration with its type, as Envoy wants it.
pub(super) fn typed(kind: &str, mut config: Value) -> Value {
    config["@type"] = format!("type.googleapis.com/{kind}").into();
    config
}

/// Wide enough never to matter here.
fn circuit_breakers() -> Value {
    let threshold = json!({
        "max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000, "max_retries": 100_000,
    });
    json!({"thresholds": [threshold]})
}

/// Envoy's HTTP side, with filters before the router.
pub(super) fn manager(codec: &str, access_log: Vec<Value>, before: &[Value]) -> Value {
    let router = typed(
        "envoy.extensions.filters.http.router.v3.Router",
        json!({"dynamic_stats": false, "suppress_envoy_headers": true}),
    );
    let mut filters = before.to_vec();
    filters.push(json!({"name": "router", "typed_config": router}));
    typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "in",
            "codec_type": codec,
            "generate_request_id": false,
            "access_log": access_log,
            "route_config": {"virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "out", "timeout": "0s"}}],
            }]},
            "http_filters": filters,
        }),
    )
}

/// Where Envoy sends all of it.
pub(super) fn cluster(to: SocketAddr) -> Value {
    json!({
        "name": "out",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": circuit_breakers(),
        "load_assignment": {
            "cluster_name": "out",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(to)}}]}],
        },
    })
}

/// One listener, one cluster.
pub(super) fn bootstrap(from: SocketAddr, chain: Value, cluster: Value) -> Value {
    json!({"static_resources": {
        "listeners": [{"name": "in", "address": socket(from), "filter_chains": [chain]}],
        "clusters": [cluster],
    }})
}

pub(super) fn envoy(wire: Wire, from: SocketAddr, to: SocketAddr) -> Value {
    let mut cluster = cluster(to);
    let codec = if wire == Wire::Http2 { "HTTP2" } else { "HTTP1" };
    if wire == Wire::Http2 {
        speak_http2(&mut cluster);
    }
    let filter = json!({"name": "http", "typed_config": manager(codec, Vec::new(), &[])});
    bootstrap(from, json!({"filters": [filter]}), cluster)
}

/// To whatever is behind.
pub(super) fn speak_http2(cluster: &mut Value) {
    let http2 = typed(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        json!({"explicit_http_config": {"http2_protocol_options": {}}}),
    );
    cluster["typed_extension_protocol_options"] =
        json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2});
}
