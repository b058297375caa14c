//! What Envoy and Leno read: the stories in their frames. Envoy is set as at an edge and as
//! Istio sets it: a caller's address counts, paths are normalised, answers of backends are shown as they are; all else
//! is its default.

use crate::story::{Story, Teller};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// A backend, by name.
pub(crate) type NamedBackend = (&'static str, SocketAddr);

/// The type of a route's settings for a filter of Envoy: what a story writes, and what it stands for.
const TYPES: [(&str, &str); 2] = [
    ("$fault", "envoy.extensions.filters.http.fault.v3.HTTPFault"),
    ("$cors", "envoy.extensions.filters.http.cors.v3.CorsPolicy"),
];

/// On one line.
fn flat(yaml: &str) -> String {
    yaml.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Envoy's configuration, with its access log.
pub(crate) fn envoy(stories: &[&Story], backends: &[NamedBackend], port: u16, log: &str) -> String {
    let mut text = format!(
        r#"static_resources:
  listeners:
  - name: in
    address: {{socket_address: {{address: {address}, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          use_remote_address: true
          normalize_path: true
          server_header_transformation: PASS_THROUGH
          upgrade_configs: [{{upgrade_type: websocket}}]
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {log}
              log_format:
                json_format:
                  method: "%REQ(:METHOD)%"
                  response_code: "%RESPONSE_CODE%"
                  response_flags: "%RESPONSE_FLAGS%"
                  response_code_details: "%RESPONSE_CODE_DETAILS%"
                  attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
          http_filters:
          - {{name: envoy.filters.http.fault, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}}}}
          - {{name: envoy.filters.http.cors, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}}}
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}
          route_config:
            ignore_port_in_host_matching: true
            virtual_hosts:
"#,
        address = Teller::Envoy.address(),
    );
    for story in stories {
        let mut routes = flat(story.envoy);
        for (word, name) in TYPES {
            routes = routes.replace(word, &format!("\"@type\": type.googleapis.com/{name}"));
        }
        let (name, host) = (story.name, story.host());
        let _ = writeln!(text, "            - {{name: {name}, domains: [{host}], routes: [{routes}]}}");
    }
    text.push_str("  clusters:\n");
    for (name, at) in backends {
        let endpoint = format!(
            "{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}",
            at.ip(),
            at.port()
        );
        let _ = writeln!(
            text,
            "  - {{name: {name}, connect_timeout: 5s, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}}}"
        );
    }
    text
}

/// Leno's documents: gateways of both APIs.
pub(crate) fn leno(stories: &[&Story], backends: &[NamedBackend], port: u16) -> String {
    let mut documents = vec![
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: standard, annotations: \
             {{leno.dev/bind-address: {}}}}}\nspec: {{gatewayClassName: leno, listeners: [{{name: http, protocol: HTTP, \
             port: {port}}}]}}\n",
            Teller::Gateway.address()
        ),
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: istio}}\nspec: {{selector: {{app: edge}}, \
             servers: [{{bind: {}, port: {{number: {port}, name: http, protocol: HTTP}}, hosts: [\"*\"]}}]}}\n",
            Teller::Istio.address()
        ),
    ];
    for (name, at) in backends {
        let (ip, port) = (at.ip(), at.port());
        documents.push(format!(
            "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\nspec: {{type: Static, addresses: \
             [{{host: {ip}, port: {port}}}]}}\n"
        ));
        documents.push(format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: \
             [{name}.backend.test], resolution: STATIC, location: MESH_EXTERNAL, ports: [{{number: 80, name: http, \
             protocol: HTTP}}], endpoints: [{{address: {ip}, ports: {{http: {port}}}}}]}}\n"
        ));
    }
    for story in stories {
        let (host, name) = (story.host(), story.name.replace('/', "-"));
        if Teller::Gateway.knows(story) {
            let rules = with_names(story.gateway, backends, |name| {
                format!("group: leno.dev, kind: Backend, name: {name}")
            });
            documents.push(format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec: {{parentRefs: \
                 [{{name: standard}}], hostnames: [{host}], rules: [{rules}]}}\n"
            ));
        }
        if Teller::Istio.knows(story) {
            let http = with_names(story.istio, backends, |name| {
                format!("host: {name}.backend.test, port: {{number: 80}}")
            });
            documents.push(format!(
                "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec: {{hosts: \
                 [{host}], gateways: [istio], http: [{http}]}}\n"
            ));
        }
    }
    documents.join("---\n")
}

/// On one line, with `$NAME` replaced.
fn with_names(yaml: &str, backends: &[NamedBackend], reference: impl Fn(&str) -> String) -> String {
    backends.iter().fold(flat(yaml), |text, (name, _)| text.replace(&format!("${name}"), &reference(name)))
}
