//! What filters make of requests, as data.

use super::Matched;
use super::redirect::location;
use super::rewrite::rewrite_path;
use crate::RequestView;
use model::filter::{PathRewrite, Redirect};

#[test]
fn prefixes_are_replaced_as_gateway_api_says() {
    for (path, prefix, replacement, expected) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/bar", "", "/xyz", "/xyz/bar"),
    ] {
        let rewritten = rewrite_path(&PathRewrite::Prefix(replacement.into()), path, prefix.len());
        assert_eq!(rewritten, expected, "{path}: {prefix} to {replacement}");
    }
    assert_eq!(rewrite_path(&PathRewrite::Full("/x".into()), "/foo", 4), "/x");
}

#[test]
fn a_location_has_a_port_only_where_needed() {
    let to = |scheme: Option<&str>, port, path| Redirect {
        scheme: scheme.map(Into::into),
        hostname: None,
        port,
        path,
        status: 302,
    };
    let check = |redirect: &Redirect, port, expected: &str| {
        let (method, host, path, query) = ("GET", "a.com:8080", "/x/y", Some("q=1"));
        let request = RequestView { method, host, path, readings: &[], query, headers: &() };
        assert_eq!(location(redirect, &Matched { prefix_len: 2, port, is_https: false }, &request), expected);
    };
    check(&to(None, None, None), 8080, "http://a.com:8080/x/y?q=1");
    check(&to(None, None, None), 80, "http://a.com/x/y?q=1");
    check(&to(Some("https"), None, None), 8080, "https://a.com/x/y?q=1");
    check(&to(Some("https"), Some(8443), None), 80, "https://a.com:8443/x/y?q=1");
    check(&to(None, Some(80), Some(PathRewrite::Prefix("/z".into()))), 8080, "http://a.com/z/y?q=1");
}
