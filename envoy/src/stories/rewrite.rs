//! Rewrites of paths and hosts.

use crate::story::{STORY, Story};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "rewrite/full-path",
        envoy: r#"{match: {path_separated_prefix: /a}, route: {cluster: one, regex_rewrite: {pattern: {regex: "^/.*$"}, substitution: /b/c}}}"#,
        gateway: "{matches: [{path: {type: PathPrefix, value: /a}}],
            filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /b/c}}}],
            backendRefs: [{$one}]}",
        calls: &["GET /a", "GET /a/", "GET /a/x/y?q=1&r=%20", "GET /a?", "POST /a/x\n\nbody"],
        ..STORY
    },
    Story {
        name: "rewrite/prefix",
        // Envoy replaces bytes; the two routes are how slashes are kept in order (Istio and Envoy Gateway do the same).
        envoy: r#"{match: {path: /a}, route: {cluster: one, prefix_rewrite: /b}},
            {match: {prefix: /a/}, route: {cluster: one, prefix_rewrite: /b/}}"#,
        gateway: "{matches: [{path: {type: PathPrefix, value: /a}}],
            filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}],
            backendRefs: [{$one}]}",
        istio: "{match: [{uri: {exact: /a}}], rewrite: {uri: /b}, route: [{destination: {$one}}]},
            {match: [{uri: {prefix: /a/}}], rewrite: {uri: /b/}, route: [{destination: {$one}}]}",
        calls: &["GET /a", "GET /a/", "GET /a/x", "GET /a/x/?q=1", "GET /a?x=/a", "GET /ab", "GET /a//x", "GET /a/%2Fx"],
        ..STORY
    },
    Story {
        name: "rewrite/prefix-with-slash",
        envoy: r#"{match: {path: /a}, route: {cluster: one, prefix_rewrite: /b/}},
            {match: {prefix: /a/}, route: {cluster: one, prefix_rewrite: /b/}}"#,
        gateway: "{matches: [{path: {type: PathPrefix, value: /a/}}],
            filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b/}}}],
            backendRefs: [{$one}]}",
        calls: &["GET /a", "GET /a/", "GET /a/x?y", "GET /a/x/"],
        ..STORY
    },
    Story {
        name: "rewrite/prefix-to-root",
        envoy: r#"{match: {path_separated_prefix: /a}, route: {cluster: one, regex_rewrite: {pattern: {regex: "^/a/*"}, substitution: /}}}"#,
        gateway: "{matches: [{path: {type: PathPrefix, value: /a}}],
            filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}],
            backendRefs: [{$one}]}",
        calls: &["GET /a", "GET /a/", "GET /a/x?y", "GET /a?z", "GET /abc"],
        ..STORY
    },
    Story {
        name: "rewrite/string-prefix",
        envoy: "{match: {prefix: /a}, route: {cluster: one, prefix_rewrite: /b}}",
        istio: "{match: [{uri: {prefix: /a}}], rewrite: {uri: /b}, route: [{destination: {$one}}]}",
        calls: &["GET /a", "GET /abc/d?q", "GET /a/", "GET /a/../x", "GET /%61/x"],
        ..STORY
    },
    Story {
        name: "rewrite/regex",
        envoy: r#"{match: {prefix: /}, route: {cluster: one,
            regex_rewrite: {pattern: {regex: "/service/([^/]+)(/.*)"}, substitution: "\\2/instance/\\1"}}}"#,
        istio: r#"{rewrite: {uriRegexRewrite: {match: "/service/([^/]+)(/.*)", rewrite: "\\2/instance/\\1"}},
            route: [{destination: {$one}}]}"#,
        calls: &["GET /service/foo/v1/api", "GET /service/foo/v1/api?q=/service/a/b", "GET /x/service/foo/bar", "GET /none"],
        ..STORY
    },
    Story {
        name: "rewrite/regex-everywhere",
        envoy: r#"{match: {prefix: /}, route: {cluster: one,
            regex_rewrite: {pattern: {regex: "o(n)?"}, substitution: "[\\0\\1\\\\]"}}}"#,
        istio: r#"{rewrite: {uriRegexRewrite: {match: "o(n)?", rewrite: "[\\0\\1\\\\]"}}, route: [{destination: {$one}}]}"#,
        calls: &["GET /xo/on/y", "GET /one/two/one"],
        ..STORY
    },
    Story {
        name: "rewrite/host",
        envoy: "{match: {prefix: /}, route: {cluster: one, host_rewrite_literal: other.test}}",
        gateway: "{filters: [{type: URLRewrite, urlRewrite: {hostname: other.test}}], backendRefs: [{$one}]}",
        istio: "{rewrite: {authority: other.test}, route: [{destination: {$one}}]}",
        calls: &["GET /x", "GET /x\nhost: rewrite-host.test:8080", "GET /x\nhost: REWRITE-host.Test"],
        ..STORY
    },
    Story {
        name: "rewrite/host-and-path",
        envoy: "{match: {prefix: /a/}, route: {cluster: one, host_rewrite_literal: other.test, prefix_rewrite: /b/}}",
        gateway: "{matches: [{path: {type: PathPrefix, value: /a}}], filters: [{type: URLRewrite, urlRewrite:
            {hostname: other.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}], backendRefs: [{$one}]}",
        istio: "{match: [{uri: {prefix: /a/}}], rewrite: {authority: other.test, uri: /b/}, route: [{destination: {$one}}]}",
        calls: &["GET /a/x", "HEAD /a/x"],
        ..STORY
    },
];
