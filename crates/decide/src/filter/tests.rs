#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! What filters make of requests, as data.

use super::redirect::location;
use super::rewrite::rewrite_path;
use super::{Matched, Patterns};
use crate::RequestView;
use model::filter::{PathRewrite, Redirect};

fn at(prefix_len: usize, port: u16) -> Matched<'static> {
    Matched { prefix_len, port, is_https: false, patterns: Patterns::NONE }
}

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
        let rewritten =
            rewrite_path(&PathRewrite::Prefix(replacement.into()), &at(prefix.len(), 80), path).unwrap();
        assert_eq!(rewritten, expected, "{path}: {prefix} to {replacement}");
    }
    assert_eq!(rewrite_path(&PathRewrite::Full("/x".into()), &at(4, 80), "/foo"), Ok("/x".into()));
}

#[test]
fn a_location_has_a_port_only_where_needed() {
    let to = |scheme: Option<&str>, port, path| Redirect {
        scheme: scheme.map(Into::into),
        port,
        path,
        status: 302,
        ..Redirect::default()
    };
    let check = |redirect: &Redirect, port, expected: &str| {
        let (method, host, path, query) = ("GET", "a.com:8080", "/x/y", Some("q=1"));
        let request = RequestView { method, host, path, readings: &[], query, headers: &() };
        assert_eq!(location(redirect, &at(2, port), &request).unwrap(), expected);
    };
    check(&to(None, None, None), 8080, "http://a.com:8080/x/y?q=1");
    check(&to(None, None, None), 80, "http://a.com/x/y?q=1");
    check(&to(Some("https"), None, None), 8080, "https://a.com/x/y?q=1");
    check(&to(Some("https"), Some(8443), None), 80, "https://a.com:8443/x/y?q=1");
    check(&to(None, Some(80), Some(PathRewrite::Prefix("/z".into()))), 8080, "http://a.com/z/y?q=1");
}
