//! Arrows point down: which crate may use which, close to the design's table, and who alone may name a library.

use super::{Untidy, list, text};
use serde_json::Value;
use std::collections::BTreeMap;

/// Crate and those of ours that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("decide", &["model"]),
    ("api", &["model"]),
    ("codec", &["model"]),
    ("fixtures", &["model"]),
    ("translate", &["model", "api", "decide"]),
    ("filter", &["model", "decide", "codec"]),
    ("identity", &["model"]),
    ("xds", &["model"]),
    ("daemon", &["codec"]),
    ("proxy", &["model", "decide", "codec", "filter", "identity", "xds", "daemon"]),
    ("ca", &["model", "identity", "codec"]),
    ("node", &["model", "daemon"]),
    ("apiserver", &["model", "api", "codec", "identity", "daemon"]),
    ("planes", &["model", "api", "identity", "xds", "daemon"]),
    (
        "control",
        &["model", "api", "translate", "decide", "identity", "xds", "ca", "apiserver", "planes", "daemon"],
    ),
    (
        "manager",
        &["model", "api", "translate", "decide", "identity", "xds", "ca", "apiserver", "planes", "daemon"],
    ),
    ("root", &["model", "identity", "ca", "planes", "daemon"]),
    ("cli", &["model", "api", "translate", "decide", "codec", "identity"]),
    (
        "lab",
        &["model", "api", "decide", "codec", "identity", "xds", "daemon", "ca", "node", "apiserver", "proxy"],
    ),
    (
        "bench",
        &[
            "model",
            "decide",
            "api",
            "codec",
            "identity",
            "xds",
            "translate",
            "daemon",
            "ca",
            "proxy",
            "control",
        ],
    ),
    ("envoy", &[]),
    ("fuzz", &["codec"]),
    ("xtask", &[]),
];

/// Programs: wiring, so they may use everything.
const WIRING: &[&str] = &["leno", "leno-proxy"];

/// What `leno-proxy` must never contain, not even through others.
const NOT_IN_PROXY: &[&str] =
    &["ca", "control", "manager", "apiserver", "lab", "cli", "translate", "api", "redb", "axum"];

/// Library and those of ours that may name it.
const NAMED_ONLY_BY: &[(&str, &[&str])] = &[
    // What ours is compared with.
    ("hyper", &["fuzz"]),
    // The bench's generator must not change with what it measures.
    ("h2", &["codec", "bench", "fuzz"]),
    ("h3", &["codec"]),
    ("quinn", &["codec"]),
    ("tonic", &["xds"]),
    ("axum", &["apiserver", "manager"]),
    ("redb", &["apiserver"]),
    ("kube", &["control"]),
    ("wasmtime", &["wasm"]),
];

/// Pure crates and what they must not use.
const PURE: &[&str] = &["model", "decide", "translate"];
const IMPURE: &[&str] =
    &["tokio", "nix", "libc", "socket2", "tracing", "fastrand", "rand", "parking_lot", "arc-swap"];

/// All findings about arrows.
pub(crate) fn check(metadata: &Value) -> anyhow::Result<Vec<Untidy>> {
    let members: Vec<&str> = list(metadata, "workspace_members").iter().filter_map(Value::as_str).collect();
    let ours: Vec<&Value> =
        list(metadata, "packages").iter().filter(|package| members.contains(&text(package, "id"))).collect();
    let names: Vec<&str> = ours.iter().map(|package| text(package, "name")).collect();
    let allowed: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut found = Vec::new();
    for package in &ours {
        let name = text(package, "name");
        if text(package, "description").is_empty() {
            found.push(Untidy::new(name, "has no description: say its layer and why it is a crate"));
        }
        let wiring = WIRING.contains(&name);
        if !wiring && !allowed.contains_key(name) {
            found.push(Untidy::new(name, "is not in the table of layers in xtask/src/tidy/arrows.rs"));
        }
        for dependency in list(package, "dependencies").iter().filter(|d| d["kind"].is_null()) {
            let used = text(dependency, "name");
            let may = allowed.get(name).is_some_and(|may| may.contains(&used));
            if names.contains(&used) && !wiring && !may {
                found.push(Untidy::new(name, format!("must not use {used}: arrows point down only")));
            }
            if PURE.contains(&name) && IMPURE.contains(&used) {
                found.push(Untidy::new(name, format!("is pure and must not use {used}")));
            }
            if let Some((_, by)) = NAMED_ONLY_BY.iter().find(|(library, _)| *library == used)
                && !by.contains(&name)
            {
                found.push(Untidy::new(name, format!("must not name {used}; only {} may", by.join(", "))));
            }
        }
    }
    found.extend(check_small_proxy(metadata));
    Ok(found)
}

/// Follows the normal dependencies of `leno-proxy`.
fn check_small_proxy(metadata: &Value) -> Vec<Untidy> {
    let name_of = |id: &str| {
        let package = list(metadata, "packages").iter().find(|package| text(package, "id") == id);
        package.map_or("", |package| text(package, "name"))
    };
    let nodes = list(&metadata["resolve"], "nodes");
    let mut waiting: Vec<&str> =
        nodes.iter().map(|node| text(node, "id")).filter(|id| name_of(id) == "leno-proxy").collect();
    let (mut seen, mut found) = (Vec::new(), Vec::new());
    while let Some(id) = waiting.pop() {
        if seen.contains(&id) {
            continue;
        }
        seen.push(id);
        if NOT_IN_PROXY.contains(&name_of(id)) {
            found.push(Untidy::new("leno-proxy", format!("must not contain {}", name_of(id))));
        }
        let node = nodes.iter().find(|node| text(node, "id") == id);
        for dependency in node.map_or(&[][..], |node| list(node, "deps")) {
            if list(dependency, "dep_kinds").iter().any(|kind| kind["kind"].is_null()) {
                waiting.push(text(dependency, "pkg"));
            }
        }
    }
    found
}
