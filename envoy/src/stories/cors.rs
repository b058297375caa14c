//! Cross-origin requests: preflight and the requests after it.

use crate::story::{STORY, Story};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "cors/exact",
        envoy: r#"{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.cors: {$cors,
            allow_origin_string_match: [{exact: "https://page.test"}, {exact: "http://page.test:8080"}],
            allow_methods: "GET, PUT", allow_headers: "x-a, x-b", expose_headers: "x-c, x-d", max_age: "600"}}}"#,
        gateway: r#"{filters: [{type: CORS, cors: {allowOrigins: ["https://page.test", "http://page.test:8080"],
            allowMethods: [GET, PUT], allowHeaders: [x-a, x-b], exposeHeaders: [x-c, x-d], maxAge: 600}}], backendRefs: [{$one}]}"#,
        istio: r#"{corsPolicy: {allowOrigins: [{exact: "https://page.test"}, {exact: "http://page.test:8080"}],
            allowMethods: [GET, PUT], allowHeaders: [x-a, x-b], exposeHeaders: [x-c, x-d], maxAge: 10m}, route: [{destination: {$one}}]}"#,
        calls: &[
            "OPTIONS /x\norigin: https://page.test\naccess-control-request-method: PUT\naccess-control-request-headers: x-a",
            "OPTIONS /x\norigin: http://page.test:8080\naccess-control-request-method: DELETE",
            "OPTIONS /x\norigin: https://page.test",
            "OPTIONS /x",
            "GET /x\norigin: https://page.test",
            "GET /x\norigin: https://other.test",
            "GET /x\norigin: null",
            "GET /x",
            "GET /x\norigin: https://page.test\nx-answer: 404",
            "GET /x\norigin: https://page.test\nx-answer-field: access-control-allow-origin: https://own.test\nx-answer-field: vary: accept",
            "GET /x\norigin: https://page.test\naccess-control-request-method: PUT",
        ],
        ..STORY
    },
    Story {
        name: "cors/another-page",
        envoy: r#"{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.cors: {$cors,
            allow_origin_string_match: [{exact: "https://page.test"}], allow_methods: "GET, PUT"}}}"#,
        gateway: r#"{filters: [{type: CORS, cors: {allowOrigins: ["https://page.test"], allowMethods: [GET, PUT]}}],
            backendRefs: [{$one}]}"#,
        istio: r#"{corsPolicy: {allowOrigins: [{exact: "https://page.test"}], allowMethods: [GET, PUT]}, route: [{destination: {$one}}]}"#,
        calls: &["OPTIONS /x\norigin: https://other.test\naccess-control-request-method: PUT"],
        ..STORY
    },
    Story {
        name: "cors/any",
        envoy: r#"{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.cors: {$cors,
            allow_origin_string_match: [{safe_regex: {regex: ".*"}}], allow_methods: "GET"}}}"#,
        gateway: r#"{filters: [{type: CORS, cors: {allowOrigins: ["*"], allowMethods: [GET]}}], backendRefs: [{$one}]}"#,
        istio: r#"{corsPolicy: {allowOrigins: [{regex: ".*"}], allowMethods: [GET]}, route: [{destination: {$one}}]}"#,
        calls: &[
            "OPTIONS /x\norigin: https://page.test\naccess-control-request-method: GET",
            "GET /x\norigin: https://page.test",
            "GET /x",
        ],
        ..STORY
    },
    Story {
        name: "cors/credentials",
        envoy: r#"{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.cors: {$cors,
            allow_origin_string_match: [{exact: "https://page.test"}], allow_credentials: true, allow_methods: "GET, POST"}}}"#,
        gateway: r#"{filters: [{type: CORS, cors: {allowOrigins: ["https://page.test"], allowCredentials: true,
            allowMethods: [GET, POST]}}], backendRefs: [{$one}]}"#,
        istio: r#"{corsPolicy: {allowOrigins: [{exact: "https://page.test"}], allowCredentials: true, allowMethods: [GET, POST]},
            route: [{destination: {$one}}]}"#,
        calls: &[
            "OPTIONS /x\norigin: https://page.test\naccess-control-request-method: POST",
            "GET /x\norigin: https://page.test\ncookie: a=b",
            "GET /x\norigin: https://PAGE.test",
        ],
        ..STORY
    },
    Story {
        name: "cors/prefix",
        envoy: r#"{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.cors: {$cors,
            allow_origin_string_match: [{prefix: "https://page."}], allow_methods: "GET"}}}"#,
        istio: r#"{corsPolicy: {allowOrigins: [{prefix: "https://page."}], allowMethods: [GET]}, route: [{destination: {$one}}]}"#,
        calls: &["GET /x\norigin: https://page.other", "GET /x\norigin: http://page.other"],
        ..STORY
    },
    Story {
        name: "cors/regex",
        envoy: r#"{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.cors: {$cors,
            allow_origin_string_match: [{safe_regex: {regex: "https://[a-z]+[.]test"}}], allow_methods: "GET"}}}"#,
        istio: r#"{corsPolicy: {allowOrigins: [{regex: "https://[a-z]+[.]test"}], allowMethods: [GET]}, route: [{destination: {$one}}]}"#,
        calls: &[
            "GET /x\norigin: https://page.test",
            "GET /x\norigin: https://page.test.evil",
            "GET /x\norigin: https://a.b.test",
        ],
        ..STORY
    },
    Story {
        name: "cors/unmatched-forwarded",
        envoy: r#"{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.cors: {$cors,
            allow_origin_string_match: [{exact: "https://page.test"}], forward_not_matching_preflights: true}}}"#,
        istio: r#"{corsPolicy: {allowOrigins: [{exact: "https://page.test"}], unmatchedPreflights: FORWARD}, route: [{destination: {$one}}]}"#,
        calls: &["OPTIONS /x\norigin: https://other.test\naccess-control-request-method: PUT"],
        ..STORY
    },
    Story {
        name: "cors/unmatched-ignored",
        envoy: r#"{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.cors: {$cors,
            allow_origin_string_match: [{exact: "https://page.test"}], forward_not_matching_preflights: false}}}"#,
        istio: r#"{corsPolicy: {allowOrigins: [{exact: "https://page.test"}], unmatchedPreflights: IGNORE}, route: [{destination: {$one}}]}"#,
        calls: &["OPTIONS /x\norigin: https://other.test\naccess-control-request-method: PUT"],
        ..STORY
    },
];
