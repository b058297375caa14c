//! Edits of header fields of requests and responses, by rules and by backends.

use crate::story::{STORY, Story};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "headers/set",
        envoy: r#"{match: {prefix: /}, route: {cluster: one},
            request_headers_to_add: [{header: {key: x-a, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}],
            response_headers_to_add: [{header: {key: x-b, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}"#,
        gateway: "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: new}]}},
            {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-B, value: new}]}}], backendRefs: [{$one}]}",
        istio: "{headers: {request: {set: {X-A: new}}, response: {set: {X-B: new}}}, route: [{destination: {$one}}]}",
        calls: &["GET /", "GET /\nx-a: old", "GET /\nX-A: old\nx-a: older", "GET /\nx-answer-field: x-b: old\nx-answer-field: X-B: older"],
        ..STORY
    },
    Story {
        name: "headers/add",
        envoy: r#"{match: {prefix: /}, route: {cluster: one},
            request_headers_to_add: [{header: {key: x-a, value: new}, append_action: APPEND_IF_EXISTS_OR_ADD}],
            response_headers_to_add: [{header: {key: x-b, value: new}, append_action: APPEND_IF_EXISTS_OR_ADD}]}"#,
        gateway: "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: X-A, value: new}]}},
            {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: X-B, value: new}]}}], backendRefs: [{$one}]}",
        istio: "{headers: {request: {add: {X-A: new}}, response: {add: {X-B: new}}}, route: [{destination: {$one}}]}",
        calls: &["GET /", "GET /\nx-a: old", "GET /\nx-answer-field: x-b: old"],
        ..STORY
    },
    Story {
        name: "headers/remove",
        envoy: "{match: {prefix: /}, route: {cluster: one}, request_headers_to_remove: [x-a], response_headers_to_remove: [x-b]}",
        gateway: "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [X-A]}},
            {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [X-B]}}], backendRefs: [{$one}]}",
        istio: "{headers: {request: {remove: [X-A]}, response: {remove: [X-B]}}, route: [{destination: {$one}}]}",
        calls: &["GET /\nx-a: old\nX-A: older\nx-aa: kept", "GET /\nx-answer-field: x-b: old\nx-answer-field: X-B: older"],
        ..STORY
    },
    Story {
        name: "headers/all",
        envoy: r#"{match: {prefix: /}, route: {cluster: one},
            request_headers_to_add: [{header: {key: x-set, value: set}, append_action: OVERWRITE_IF_EXISTS_OR_ADD},
                {header: {key: x-add, value: add}, append_action: APPEND_IF_EXISTS_OR_ADD}], request_headers_to_remove: [x-gone]}"#,
        gateway: "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: set}],
            add: [{name: x-add, value: add}], remove: [x-gone]}}], backendRefs: [{$one}]}",
        istio: "{headers: {request: {set: {x-set: set}, add: {x-add: add}, remove: [x-gone]}}, route: [{destination: {$one}}]}",
        calls: &["GET /\nx-set: old\nx-add: old\nx-gone: old\nx-kept: old", "GET /"],
        ..STORY
    },
    Story {
        name: "headers/values",
        envoy: r#"{match: {prefix: /}, route: {cluster: one},
            request_headers_to_add: [{header: {key: x-a, value: "a, b; c=\"d\""}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}"#,
        gateway: r#"{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: "a, b; c=\"d\""}]}}],
            backendRefs: [{$one}]}"#,
        istio: r#"{headers: {request: {set: {x-a: "a, b; c=\"d\""}}}, route: [{destination: {$one}}]}"#,
        calls: &["GET /", "GET /\nx-empty:", "GET /\nx-list: a\nx-list: b\nx-list: a"],
        ..STORY
    },
    Story {
        name: "headers/of-a-backend",
        envoy: r#"{match: {prefix: /}, route: {weighted_clusters: {clusters: [
            {name: one, weight: 100, request_headers_to_add: [{header: {key: x-a, value: backend},
                append_action: APPEND_IF_EXISTS_OR_ADD}], request_headers_to_remove: [x-gone],
                response_headers_to_add: [{header: {key: x-b, value: backend}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]},
            {name: two, weight: 0, request_headers_to_add: [{header: {key: x-a, value: never}}]}]}},
            request_headers_to_add: [{header: {key: x-rule, value: rule}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}"#,
        gateway: "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-rule, value: rule}]}}],
            backendRefs: [{$one, weight: 100, filters: [{type: RequestHeaderModifier, requestHeaderModifier:
                {add: [{name: x-a, value: backend}], remove: [x-gone]}}, {type: ResponseHeaderModifier,
                responseHeaderModifier: {set: [{name: x-b, value: backend}]}}]},
            {$two, weight: 0, filters: [{type: RequestHeaderModifier, requestHeaderModifier:
                {add: [{name: x-a, value: never}]}}]}]}",
        istio: "{headers: {request: {set: {x-rule: rule}}}, route: [{destination: {$one}, weight: 100, headers: {request:
            {add: {x-a: backend}, remove: [x-gone]}, response: {set: {x-b: backend}}}},
            {destination: {$two}, weight: 0, headers: {request: {add: {x-a: never}}}}]}",
        calls: &["GET /\nx-a: caller\nx-gone: old", "GET /\nx-answer-field: x-b: old"],
        ..STORY
    },
    Story {
        name: "headers/rule-and-backend",
        envoy: r#"{match: {prefix: /}, route: {weighted_clusters: {clusters: [
            {name: one, weight: 1, request_headers_to_add: [{header: {key: x-a, value: backend}, append_action: APPEND_IF_EXISTS_OR_ADD}],
                response_headers_to_add: [{header: {key: x-b, value: backend}, append_action: APPEND_IF_EXISTS_OR_ADD}]}]}},
            request_headers_to_add: [{header: {key: x-a, value: rule}, append_action: APPEND_IF_EXISTS_OR_ADD}],
            response_headers_to_add: [{header: {key: x-b, value: rule}, append_action: APPEND_IF_EXISTS_OR_ADD}]}"#,
        gateway: "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-a, value: rule}]}},
            {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-b, value: rule}]}}],
            backendRefs: [{$one, filters: [{type: RequestHeaderModifier, requestHeaderModifier:
                {add: [{name: x-a, value: backend}]}}, {type: ResponseHeaderModifier,
                responseHeaderModifier: {add: [{name: x-b, value: backend}]}}]}]}",
        istio: "{headers: {request: {add: {x-a: rule}}, response: {add: {x-b: rule}}}, route: [{destination: {$one},
            headers: {request: {add: {x-a: backend}}, response: {add: {x-b: backend}}}}]}",
        calls: &["GET /\nx-a: caller\nx-answer-field: x-b: server"],
        ..STORY
    },
    Story {
        name: "headers/rule-and-backend-set",
        envoy: r#"{match: {prefix: /}, route: {weighted_clusters: {clusters: [
            {name: one, weight: 1, request_headers_to_add: [{header: {key: x-a, value: backend}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}]}},
            request_headers_to_add: [{header: {key: x-a, value: rule}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}"#,
        gateway: "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: rule}]}}],
            backendRefs: [{$one, filters: [{type: RequestHeaderModifier, requestHeaderModifier:
                {set: [{name: x-a, value: backend}]}}]}]}",
        istio: "{headers: {request: {set: {x-a: rule}}}, route: [{destination: {$one}, headers: {request: {set: {x-a: backend}}}}]}",
        calls: &["GET /"],
        ..STORY
    },
    Story {
        name: "headers/redirect",
        envoy: r#"{match: {prefix: /}, redirect: {path_redirect: /b},
            response_headers_to_add: [{header: {key: x-b, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}"#,
        gateway: "{filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-b, value: new}]}},
            {type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /b}, statusCode: 301}}]}",
        istio: "{redirect: {uri: /b}, headers: {response: {set: {x-b: new}}}}",
        calls: &["GET /"],
        ..STORY
    },
    Story {
        name: "headers/host-by-istio",
        envoy: "{match: {prefix: /}, route: {cluster: one, host_rewrite_literal: other.test}}",
        istio: "{headers: {request: {set: {Host: other.test}}}, route: [{destination: {$one}}]}",
        calls: &["GET /"],
        ..STORY
    },
    Story {
        name: "headers/local-reply",
        envoy: r#"{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: here}},
            response_headers_to_add: [{header: {key: x-b, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}"#,
        istio: "{directResponse: {status: 200, body: {string: here}}, headers: {response: {set: {x-b: new}}}}",
        calls: &["GET /"],
        ..STORY
    },
];
