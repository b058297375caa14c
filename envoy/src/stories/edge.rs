//! What a proxy at the edge says of the caller, and connections that change to another protocol.

use crate::story::{STORY, Story};

/// To one backend, whatever comes.
const PLAIN: Story = Story {
    name: "edge/plain",
    envoy: "{match: {prefix: /}, route: {cluster: one}}",
    gateway: "{backendRefs: [{$one}]}",
    istio: "{route: [{destination: {$one}}]}",
    ..STORY
};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "edge/forwarded",
        calls: &[
            "GET /",
            "GET /\nx-forwarded-for: 10.9.8.7",
            "GET /\nx-forwarded-for: 10.9.8.7, 10.6.5.4\nx-forwarded-for: 10.3.2.1",
            "GET /\nx-forwarded-proto: https",
            "GET /\nx-forwarded-host: evil.test\nx-forwarded-port: 1",
            "GET /\nforwarded: for=10.9.8.7",
            "GET /\nx-envoy-external-address: 10.9.8.7\nx-envoy-internal: true",
            "GET /\nx-envoy-original-path: /y\nx-envoy-retry-on: 5xx\nx-envoy-max-retries: 9\nx-answer: 503 200",
            "GET /\nx-envoy-upstream-rq-timeout-ms: 1\nx-envoy-decorator-operation: z",
            "GET /\nx-request-id: own",
            "GET /\nx-request-id: 6ba7b810-9dad-41d1-80b4-00c04fd430c8",
            "GET /\nx-forwarded-client-cert: By=spiffe://a/b",
            "GET /\nvia: 1.1 other",
        ],
        ..PLAIN
    },
    Story {
        name: "edge/hop-by-hop",
        calls: &[
            "GET /\nconnection: x-a\nx-a: one hop",
            "GET /\nconnection: keep-alive\nkeep-alive: timeout=5",
            "GET /\nte: trailers, gzip",
            "GET /\nproxy-connection: keep-alive",
            "GET /\nproxy-authorization: Basic YTpi",
            "GET /\nupgrade: h2c\nconnection: upgrade, http2-settings\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA",
            "GET /\nconnection: close",
            "GET /\nx-answer-field: connection: close",
            "GET /\nx-answer-field: keep-alive: timeout=5",
            "GET /\nx-answer-field: proxy-authenticate: Basic",
        ],
        ..PLAIN
    },
    Story {
        name: "edge/responses",
        calls: &[
            "GET /\nx-answer: 204",
            "GET /\nx-answer: 304",
            "HEAD /",
            "GET /\nx-answer-field: server: own\nx-answer-field: date: Tue, 15 Nov 1994 08:12:31 GMT",
            "GET /\nx-answer-field: x-a: 1\nx-answer-field: x-a: 2\nx-answer-field: set-cookie: a=b\nx-answer-field: set-cookie: c=d",
            "GET /\nx-answer-field: x-envoy-upstream-service-time: 7",
            "GET /\nx-answer-field: location: http://one.backend.test/x",
        ],
        ..PLAIN
    },
    Story {
        name: "edge/targets",
        calls: &[
            "GET http://edge-targets.test/a?b",
            "GET /a%20b/%7Euser",
            "GET /a//b/./c",
            "GET /?",
            "GET /a;b=c?d=e;f",
            "PURGE /",
            "GET /\nhost: unknown.test",
        ],
        ..PLAIN
    },
    Story {
        name: "edge/expectation",
        calls: &["POST /\nexpect: 100-continue\n\nbody"],
        ..PLAIN
    },
    Story { name: "edge/other-expectation", calls: &["POST /\nexpect: other\n\nbody"], ..PLAIN },
    Story { name: "edge/asterisk", calls: &["OPTIONS *"], ..PLAIN },
    Story { name: "edge/last-dot", calls: &["GET /\nhost: edge-last-dot.test."], ..PLAIN },
    Story {
        name: "websocket/taken",
        calls: &[
            "GET /chat\nconnection: Upgrade\nupgrade: websocket\nsec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            "GET /chat\nconnection: keep-alive, Upgrade\nupgrade: WebSocket\nsec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\nsec-websocket-protocol: a, b\norigin: https://page.test",
        ],
        ..PLAIN
    },
    Story { name: "websocket/other-type", calls: &["GET /\nconnection: upgrade\nupgrade: other/1"], ..PLAIN },
    Story { name: "websocket/unconnected", calls: &["GET /\nupgrade: websocket"], ..PLAIN },
    Story { name: "websocket/no-type", calls: &["GET /\nconnection: upgrade"], ..PLAIN },
    Story {
        name: "websocket/rewritten",
        envoy: "{match: {prefix: /a/}, route: {cluster: one, prefix_rewrite: /b/}}",
        gateway: "{matches: [{path: {type: PathPrefix, value: /a}}],
            filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}],
            backendRefs: [{$one}]}",
        istio: "{match: [{uri: {prefix: /a/}}], rewrite: {uri: /b/}, route: [{destination: {$one}}]}",
        calls: &["GET /a/x?y\nconnection: Upgrade\nupgrade: websocket\nsec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="],
        ..STORY
    },
];
