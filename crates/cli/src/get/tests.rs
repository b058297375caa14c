#![allow(clippy::unwrap_used)]
//! How objects become rows.

use super::{cell, tables};
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
