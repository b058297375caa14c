//! Copies of requests, and splits that have one way to go; shares are counted elsewhere.

use crate::story::{STORY, Story};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "mirror/all",
        envoy: "{match: {prefix: /}, route: {cluster: one, request_mirror_policies: [{cluster: shadow, disable_shadow_host_suffix_append: true}]}}",
        gateway: "{filters: [{type: RequestMirror, requestMirror: {backendRef: {$shadow}}}], backendRefs: [{$one}]}",
        istio: "{mirror: {$shadow}, route: [{destination: {$one}}]}",
        calls: &["GET /a?b", "POST /a\nx-a: b\n\nthe body", "GET /\nhost: mirror-all.test:8080", "HEAD /", "GET /\nx-answer: 500"],
        arrive: 2,
    },
    Story {
        name: "mirror/host-suffix",
        envoy: "{match: {prefix: /}, route: {cluster: one, request_mirror_policies: [{cluster: shadow}]}}",
        gateway: "{filters: [{type: RequestMirror, requestMirror: {backendRef: {$shadow}}}], backendRefs: [{$one}]}",
        istio: "{mirror: {$shadow}, route: [{destination: {$one}}]}",
        calls: &["GET /", "GET /\nhost: mirror-host-suffix.test:8080"],
        arrive: 2,
    },
    Story {
        name: "mirror/two",
        envoy: "{match: {prefix: /}, route: {cluster: one, request_mirror_policies: [{cluster: shadow, disable_shadow_host_suffix_append: true}, {cluster: two, disable_shadow_host_suffix_append: true}]}}",
        gateway: "{filters: [{type: RequestMirror, requestMirror: {backendRef: {$shadow}}},
            {type: RequestMirror, requestMirror: {backendRef: {$two}}}], backendRefs: [{$one}]}",
        istio: "{mirrors: [{destination: {$shadow}}, {destination: {$two}}], route: [{destination: {$one}}]}",
        calls: &["GET /", "POST /\n\nthe body"],
        arrive: 3,
    },
    Story {
        name: "mirror/none",
        envoy: "{match: {prefix: /}, route: {cluster: one, request_mirror_policies: [{cluster: shadow,
            runtime_fraction: {default_value: {numerator: 0}}}]}}",
        gateway: "{filters: [{type: RequestMirror, requestMirror: {backendRef: {$shadow}, percent: 0}}], backendRefs: [{$one}]}",
        istio: "{mirror: {$shadow}, mirrorPercentage: {value: 0}, route: [{destination: {$one}}]}",
        calls: &["GET /"],
        arrive: 1,
    },
    Story {
        name: "mirror/edited",
        envoy: r#"{match: {prefix: /a/}, route: {cluster: one, prefix_rewrite: /b/, request_mirror_policies: [{cluster: shadow, disable_shadow_host_suffix_append: true}]},
            request_headers_to_add: [{header: {key: x-a, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}"#,
        gateway: "{matches: [{path: {type: PathPrefix, value: /a}}], filters: [
            {type: RequestMirror, requestMirror: {backendRef: {$shadow}}},
            {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}},
            {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: new}]}}], backendRefs: [{$one}]}",
        istio: "{match: [{uri: {prefix: /a/}}], rewrite: {uri: /b/}, headers: {request: {set: {x-a: new}}}, mirror: {$shadow},
            route: [{destination: {$one}}]}",
        calls: &["GET /a/x\nx-a: old"],
        arrive: 2,
    },
    Story {
        name: "mirror/gone",
        envoy: "{match: {prefix: /}, route: {cluster: one, request_mirror_policies: [{cluster: gone}]}}",
        gateway: "{filters: [{type: RequestMirror, requestMirror: {backendRef: {$gone}}}], backendRefs: [{$one}]}",
        istio: "{mirror: {$gone}, route: [{destination: {$one}}]}",
        calls: &["GET /", "POST /\n\nthe body"],
        ..STORY
    },
    Story {
        name: "split/all-and-nothing",
        envoy: "{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: one, weight: 0}, {name: two, weight: 1}]}}}",
        gateway: "{backendRefs: [{$one, weight: 0}, {$two, weight: 1}]}",
        istio: "{route: [{destination: {$one}, weight: 0}, {destination: {$two}, weight: 1}]}",
        calls: &["GET /", "GET /", "POST /\n\nbody", "GET /"],
        ..STORY
    },
    Story {
        name: "split/nothing-at-all",
        envoy: "{match: {prefix: /}, direct_response: {status: 500}}",
        gateway: "{backendRefs: [{$one, weight: 0}, {$two, weight: 0}]}",
        calls: &["GET /"],
        ..STORY
    },
];
