//! Failures on purpose, and what is made of those that happen: retries, time-outs, and what the log says.

use crate::story::{STORY, Story};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "fault/abort",
        envoy: "{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.fault: {$fault,
            abort: {http_status: 418, percentage: {numerator: 100}}}}}",
        istio: "{fault: {abort: {httpStatus: 418, percentage: {value: 100}}}, route: [{destination: {$one}}]}",
        calls: &["GET /", "POST /\n\nbody", "HEAD /", "POST /\ncontent-type: application/grpc"],
        ..STORY
    },
    Story {
        name: "fault/abort-grpc",
        envoy: "{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.fault: {$fault,
            abort: {grpc_status: 14, percentage: {numerator: 100}}}}}",
        istio: "{fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}, route: [{destination: {$one}}]}",
        calls: &["POST /s/m\ncontent-type: application/grpc", "GET /"],
        ..STORY
    },
    Story {
        name: "fault/never",
        envoy: "{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.fault: {$fault,
            abort: {http_status: 418, percentage: {numerator: 0}}}}}",
        istio: "{fault: {abort: {httpStatus: 418, percentage: {value: 0}}}, route: [{destination: {$one}}]}",
        calls: &["GET /"],
        ..STORY
    },
    Story {
        name: "fault/delay",
        envoy: "{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.fault: {$fault,
            delay: {fixed_delay: 0.02s, percentage: {numerator: 100}}}}}",
        istio: "{fault: {delay: {fixedDelay: 20ms, percentage: {value: 100}}}, route: [{destination: {$one}}]}",
        calls: &["GET /", "POST /\n\nbody"],
        ..STORY
    },
    Story {
        name: "fault/delay-and-abort",
        envoy: "{match: {prefix: /}, route: {cluster: one}, typed_per_filter_config: {envoy.filters.http.fault: {$fault,
            delay: {fixed_delay: 0.02s, percentage: {numerator: 100}}, abort: {http_status: 503, percentage: {numerator: 100}}}}}",
        istio: "{fault: {delay: {fixedDelay: 20ms, percentage: {value: 100}}, abort: {httpStatus: 503, percentage: {value: 100}}},
            route: [{destination: {$one}}]}",
        calls: &["GET /"],
        ..STORY
    },
    Story {
        name: "retry/5xx",
        envoy: "{match: {prefix: /}, route: {cluster: one, retry_policy: {retry_on: 5xx, num_retries: 2,
            retry_back_off: {base_interval: 0.001s}}}}",
        istio: "{retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}, route: [{destination: {$one}}]}",
        calls: &[
            "GET /\nx-answer: 503 200",
            "GET /\nx-answer: 500 502 200",
            "GET /\nx-answer: 503 503 503",
            "GET /\nx-answer: 404 200",
            "GET /\nx-answer: close 200",
        ],
        ..STORY
    },
    Story {
        name: "retry/post",
        envoy: "{match: {prefix: /}, route: {cluster: one, retry_policy: {retry_on: 5xx, num_retries: 1,
            retry_back_off: {base_interval: 0.001s}}}}",
        istio: "{retries: {attempts: 1, retryOn: 5xx, backoff: 1ms}, route: [{destination: {$one}}]}",
        calls: &["POST /\nx-answer: 503 200\n\nthe body"],
        ..STORY
    },
    Story {
        name: "retry/gateway-error",
        envoy: "{match: {prefix: /}, route: {cluster: one, retry_policy: {retry_on: gateway-error, num_retries: 1,
            retry_back_off: {base_interval: 0.001s}}}}",
        istio: "{retries: {attempts: 1, retryOn: gateway-error, backoff: 1ms}, route: [{destination: {$one}}]}",
        calls: &["GET /\nx-answer: 502 200", "GET /\nx-answer: 503 200", "GET /\nx-answer: 504 200", "GET /\nx-answer: 500 200"],
        ..STORY
    },
    Story {
        name: "retry/4xx",
        envoy: "{match: {prefix: /}, route: {cluster: one, retry_policy: {retry_on: retriable-4xx, num_retries: 1,
            retry_back_off: {base_interval: 0.001s}}}}",
        istio: "{retries: {attempts: 1, retryOn: retriable-4xx, backoff: 1ms}, route: [{destination: {$one}}]}",
        calls: &["GET /\nx-answer: 409 200", "GET /\nx-answer: 404 200"],
        ..STORY
    },
    Story {
        name: "retry/codes",
        envoy: r#"{match: {prefix: /}, route: {cluster: one, retry_policy: {retry_on: retriable-status-codes,
            retriable_status_codes: [418, 503], num_retries: 2, retry_back_off: {base_interval: 0.001s}}}}"#,
        gateway: "{retry: {codes: [418, 503], attempts: 2, backoff: 1ms}, backendRefs: [{$one}]}",
        istio: r#"{retries: {attempts: 2, retryOn: "418,503", backoff: 1ms}, route: [{destination: {$one}}]}"#,
        calls: &["GET /\nx-answer: 418 200", "GET /\nx-answer: 503 418 200", "GET /\nx-answer: 500 200"],
        ..STORY
    },
    Story {
        name: "retry/reset",
        envoy: "{match: {prefix: /}, route: {cluster: one, retry_policy: {retry_on: reset, num_retries: 1,
            retry_back_off: {base_interval: 0.001s}}}}",
        istio: "{retries: {attempts: 1, retryOn: reset, backoff: 1ms}, route: [{destination: {$one}}]}",
        calls: &["GET /\nx-answer: close 200", "GET /\nx-answer: 503 200"],
        ..STORY
    },
    Story {
        name: "retry/reset-twice",
        envoy: "{match: {prefix: /}, route: {cluster: one, retry_policy: {retry_on: reset, num_retries: 1,
            retry_back_off: {base_interval: 0.001s}}}}",
        istio: "{retries: {attempts: 1, retryOn: reset, backoff: 1ms}, route: [{destination: {$one}}]}",
        calls: &["GET /\nx-answer: close close"],
        ..STORY
    },
    Story {
        name: "retry/none",
        envoy: "{match: {prefix: /}, route: {cluster: one}}",
        istio: "{retries: {attempts: 0}, route: [{destination: {$one}}]}",
        calls: &["GET /\nx-answer: 503 200", "GET /\nx-answer: close"],
        ..STORY
    },
    Story {
        name: "failure/nobody-listens",
        envoy: "{match: {prefix: /}, route: {cluster: gone, retry_policy: {retry_on: connect-failure, num_retries: 1,
            retry_back_off: {base_interval: 0.001s}}}}",
        istio: "{retries: {attempts: 1, retryOn: connect-failure, backoff: 1ms}, route: [{destination: {$gone}}]}",
        calls: &["GET /", "POST /\n\nbody"],
        ..STORY
    },
    Story {
        name: "timeout/request",
        envoy: "{match: {prefix: /}, route: {cluster: one, timeout: 0.05s}}",
        gateway: "{timeouts: {request: 50ms}, backendRefs: [{$one}]}",
        istio: "{timeout: 50ms, retries: {attempts: 0}, route: [{destination: {$one}}]}",
        calls: &["GET /\nx-answer: never", "GET /", "POST /\ncontent-type: application/grpc\nx-answer: never"],
        ..STORY
    },
    Story {
        name: "timeout/grpc",
        envoy: "{match: {prefix: /}, route: {cluster: one, max_stream_duration: {max_stream_duration: 0s,
            grpc_timeout_header_max: 0s}}}",
        gateway: "{backendRefs: [{$one}]}",
        istio: "{route: [{destination: {$one}}]}",
        calls: &[
            "POST /s/m\ncontent-type: application/grpc\ngrpc-timeout: 50m\nx-answer: never",
            "POST /s/m\ncontent-type: application/grpc\ngrpc-timeout: 1H",
            "POST /s/m\ncontent-type: application/grpc\ngrpc-timeout: soon",
            "GET /\ngrpc-timeout: 1H",
        ],
        ..STORY
    },
    Story {
        name: "timeout/grpc-zero",
        envoy: "{match: {prefix: /}, route: {cluster: one, max_stream_duration: {max_stream_duration: 0s,
            grpc_timeout_header_max: 0s}}}",
        gateway: "{backendRefs: [{$one}]}",
        istio: "{route: [{destination: {$one}}]}",
        calls: &["POST /s/m\ncontent-type: application/grpc\ngrpc-timeout: 0m"],
        ..STORY
    },
    Story {
        name: "timeout/each-try",
        envoy: "{match: {prefix: /}, route: {cluster: one, timeout: 0s, retry_policy: {retry_on: 5xx, num_retries: 1,
            per_try_timeout: 0.05s, retry_back_off: {base_interval: 0.001s}}}}",
        istio: "{retries: {attempts: 1, perTryTimeout: 50ms, retryOn: 5xx, backoff: 1ms}, route: [{destination: {$one}}]}",
        calls: &["GET /\nx-answer: never 200", "GET /\nx-answer: never never"],
        ..STORY
    },
];
