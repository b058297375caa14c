//! Redirects, and answers that no backend gives.

use crate::story::{STORY, Story};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "redirect/scheme",
        envoy: "{match: {prefix: /}, redirect: {https_redirect: true, response_code: FOUND}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}",
        istio: "{redirect: {scheme: https, redirectCode: 302}}",
        calls: &["GET /a?b=c", "GET /\nhost: redirect-scheme.test:80", "POST /\n\nbody", "HEAD /"],
        ..STORY
    },
    Story {
        name: "redirect/scheme-and-port",
        envoy: "{match: {prefix: /}, redirect: {https_redirect: true, port_redirect: 8443}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, port: 8443, statusCode: 301}}]}",
        istio: "{redirect: {scheme: https, port: 8443}}",
        calls: &["GET /a?b=c", "GET /a\nhost: redirect-scheme-and-port.test:80"],
        ..STORY
    },
    Story {
        name: "redirect/usual-port",
        envoy: "{match: {prefix: /}, redirect: {https_redirect: true, port_redirect: 443}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, port: 443, statusCode: 301}}]}",
        istio: "{redirect: {scheme: https, port: 443}}",
        calls: &["GET /a"],
        ..STORY
    },
    Story {
        name: "redirect/port",
        envoy: "{match: {prefix: /}, redirect: {port_redirect: 8080}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {port: 8080, statusCode: 301}}]}",
        istio: "{redirect: {port: 8080}}",
        calls: &["GET /a?b=c", "GET /\nhost: redirect-port.test:9090"],
        ..STORY
    },
    Story {
        name: "redirect/usual-port-of-http",
        envoy: "{match: {prefix: /}, redirect: {port_redirect: 80}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {port: 80, statusCode: 301}}]}",
        istio: "{redirect: {port: 80}}",
        calls: &["GET /a"],
        ..STORY
    },
    Story {
        name: "redirect/host",
        envoy: "{match: {prefix: /}, redirect: {host_redirect: other.test, response_code: FOUND}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {hostname: other.test}}]}",
        istio: "{redirect: {authority: other.test, redirectCode: 302}}",
        calls: &["GET /a?b=c", "GET /a\nhost: redirect-host.test:80"],
        ..STORY
    },
    Story {
        name: "redirect/full-path",
        envoy: "{match: {prefix: /}, redirect: {path_redirect: /b}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /b},
            statusCode: 301}}]}",
        istio: "{redirect: {uri: /b}}",
        calls: &["GET /a", "GET /a/x?b=c", "GET /"],
        ..STORY
    },
    Story {
        name: "redirect/prefix",
        envoy: "{match: {path: /a}, redirect: {prefix_rewrite: /b}},
            {match: {prefix: /a/}, redirect: {prefix_rewrite: /b/}}",
        gateway: "{matches: [{path: {type: PathPrefix, value: /a}}], filters: [{type: RequestRedirect, requestRedirect:
            {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}, statusCode: 301}}]}",
        calls: &["GET /a", "GET /a/", "GET /a/x?b=c", "GET /ab"],
        ..STORY
    },
    Story {
        name: "redirect/all-at-once",
        envoy: "{match: {prefix: /}, redirect: {https_redirect: true, host_redirect: other.test, port_redirect: 8443,
            path_redirect: /b, response_code: PERMANENT_REDIRECT}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: other.test, port: 8443,
            path: {type: ReplaceFullPath, replaceFullPath: /b}, statusCode: 308}}]}",
        istio: "{redirect: {scheme: https, authority: other.test, port: 8443, uri: /b, redirectCode: 308}}",
        calls: &["GET /a?b=c"],
        ..STORY
    },
    Story {
        name: "redirect/301",
        envoy: "{match: {prefix: /}, redirect: {host_redirect: other.test, response_code: MOVED_PERMANENTLY}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {hostname: other.test, statusCode: 301}}]}",
        istio: "{redirect: {authority: other.test}}",
        calls: &["POST /a\n\nbody"],
        ..STORY
    },
    Story {
        name: "redirect/303",
        envoy: "{match: {prefix: /}, redirect: {host_redirect: other.test, response_code: SEE_OTHER}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {hostname: other.test, statusCode: 303}}]}",
        istio: "{redirect: {authority: other.test, redirectCode: 303}}",
        calls: &["POST /a\n\nbody"],
        ..STORY
    },
    Story {
        name: "redirect/307",
        envoy: "{match: {prefix: /}, redirect: {host_redirect: other.test, response_code: TEMPORARY_REDIRECT}}",
        gateway: "{filters: [{type: RequestRedirect, requestRedirect: {hostname: other.test, statusCode: 307}}]}",
        istio: "{redirect: {authority: other.test, redirectCode: 307}}",
        calls: &["POST /a\n\nbody"],
        ..STORY
    },
    Story {
        name: "direct/text",
        envoy: r#"{match: {prefix: /}, direct_response: {status: 418, body: {inline_string: "a teapot"}}}"#,
        istio: r#"{directResponse: {status: 418, body: {string: "a teapot"}}}"#,
        calls: &["GET /", "POST /\n\nbody", "HEAD /"],
        ..STORY
    },
    Story {
        name: "direct/without-a-body",
        envoy: "{match: {prefix: /}, direct_response: {status: 503}}",
        istio: "{directResponse: {status: 503}}",
        calls: &["GET /"],
        ..STORY
    },
    Story {
        name: "direct/no-route",
        envoy: "{match: {path: /a}, route: {cluster: one}}",
        gateway: "{matches: [{path: {type: Exact, value: /a}}], backendRefs: [{$one}]}",
        istio: "{match: [{uri: {exact: /a}}], route: [{destination: {$one}}]}",
        calls: &["GET /b", "GET /a/", "GET /a", "GET /A"],
        ..STORY
    },
];
