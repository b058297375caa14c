#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! How objects become rows.

use super::{cell, tables, whole, yaml};
use api::kinds;
use serde_json::json;

#[test]
fn a_kind_has_its_own_columns() {
    let service = json!({ "metadata": { "namespace": "n", "name": "web" },
        "spec": { "ports": [{ "port": 80 }, { "port": 81 }], "selector": { "app": "web" } } });
    let kind = kinds::by_any("svc").unwrap();
    let found = [(kind, service)];
    assert_eq!(tables(&found, false), "NAME   PORTS   SELECTOR\nweb    80,81   app=web\n");
    let wide = "NAMESPACE   NAME   PORTS   SELECTOR\nn           web    80,81   app=web\n";
    assert_eq!(tables(&found, true), wide);
}

#[test]
fn what_is_missing_is_a_dash() {
    for place in ["a", "a[]", "a.b", "a[].b", "n", "l[]"] {
        assert_eq!(cell(&json!({ "n": null, "l": [] }), place), "-", "{place}");
    }
    assert_eq!(cell(&json!({ "a": [{ "b": 1 }, {}, { "b": "x" }] }), "a[].b"), "1,x");
}

/// What is printed is read again, and says the same.
#[test]
fn objects_come_back_from_both_forms() {
    let texts = [
        "",
        "true",
        "no",
        "~",
        "null",
        "8080",
        "0o17",
        "017",
        "1e3",
        ".5",
        "1_000",
        "2024-01-01",
        "- a",
        "a: b",
        "#a",
        "a #b",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "{a",
        "[a",
        "'",
        "\"",
        "a\nb\n",
        " a ",
        "\ta",
        "a\\b",
        "---",
        "...",
        "\u{1}",
        "\u{85}",
        "\u{2028}",
        "caf\u{e9}",
        "\u{1f310}",
        "=",
        "<<",
        "y",
        "-",
        "?",
        ": ",
        "|",
        ">",
    ];
    let annotations: serde_json::Map<String, serde_json::Value> =
        texts.iter().enumerate().map(|(at, text)| (format!("a{at}"), json!(text))).collect();
    let service = |name: &str| {
        json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "namespace": "default", "annotations": annotations },
            "spec": { "ports": [{ "port": 80, "name": "http" }], "selector": { "app": "web" } } })
    };
    let kind = kinds::by_any("svc").unwrap();
    for (found, is_one) in [(vec!["a"], true), (vec!["a"], false), (vec!["a", "b"], false), (vec![], false)] {
        let value = whole(found.iter().map(|name| (kind, service(name))).collect(), is_one);
        for text in [yaml(&value).unwrap(), format!("{value:#}")] {
            let (objects, findings) = api::parse::documents(&text, "f");
            assert_eq!(findings, [], "{text}");
            let back: Vec<_> = objects.iter().map(api::parse::value).collect();
            assert_eq!(back, found.iter().map(|name| service(name)).collect::<Vec<_>>(), "{text}");
        }
    }
}
