//! The peers' configuration, tuned for many small requests over kept connections, without logs.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Requests per connection before nginx would close it: never, for a measurement.
const REQUESTS_PER_CONNECTION: u64 = 1_000_000_000;
/// Idle connections that nginx keeps to the backend; more than the generator opens.
const KEPT_CONNECTIONS: usize = 512;

fn nginx(folder: &str, http: &str) -> String {
    format!(
        "worker_processes 1;
daemon off;
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

pub(crate) fn nginx_backend(folder: &str, address: SocketAddr) -> String {
    let body = "x".repeat(100);
    nginx(
        folder,
        &format!("server {{ listen {address} backlog=4096; location / {{ return 200 \"{body}\"; }} }}"),
    )
}

pub(crate) fn nginx_proxy(folder: &str, from: SocketAddr, to: SocketAddr) -> String {
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

pub(crate) fn haproxy(from: SocketAddr, to: SocketAddr) -> String {
    format!(
        "global
    nbthread 1
    maxconn 8192
    no log
defaults
    mode http
    no log
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
frontend in
    bind {from}
    default_backend out
backend out
    server one {to}
"
    )
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

pub(crate) fn envoy(from: SocketAddr, to: SocketAddr) -> Value {
    let router = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        "dynamic_stats": false,
        "suppress_envoy_headers": true,
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP1",
        "generate_request_id": false,
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "out", "timeout": "0s"}}],
        }]},
        "http_filters": [{"name": "router", "typed_config": router}],
    });
    let threshold = json!({
        "max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000, "max_retries": 100_000,
    });
    json!({"static_resources": {
        "listeners": [{
            "name": "in",
            "address": socket(from),
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }],
        "clusters": [{
            "name": "out",
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [threshold]},
            "load_assignment": {
                "cluster_name": "out",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(to)}}]}],
            },
        }],
    }})
}
