#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;

const KINDS: [ServedKind; 3] = [
    ServedKind {
        group: "",
        version: "v1",
        kind: "Service",
        plural: "services",
        scope: KindScope::Namespaced,
    },
    ServedKind {
        group: "networking.istio.io",
        version: "v1",
        kind: "WorkloadGroup",
        plural: "workloadgroups",
        scope: KindScope::Namespaced,
    },
    ServedKind {
        group: "leno.dev",
        version: "v1alpha1",
        kind: "Cluster",
        plural: "clusters",
        scope: KindScope::Cluster,
    },
];

fn check(path: &str, expected: &str) {
    let found = match parse(path, &KINDS) {
        ApiPath::List(kind, namespace) => format!("list {} {}", kind.kind, namespace.unwrap_or("*".into())),
        ApiPath::Object(t) => format!("object {} {} {}", t.kind.kind, t.namespace, t.name),
        ApiPath::Below(t, below) => format!("{below} of {} {} {}", t.kind.kind, t.namespace, t.name),
        ApiPath::Resources { group, version } => format!("resources {group} {version}"),
        ApiPath::Report(name) => format!("report {name}"),
        other => format!("{other:?}"),
    };
    assert_eq!(found, expected, "{path}");
}

#[test]
fn paths_are_those_of_kubernetes() {
    check("/healthz", "Health");
    check("/api", "Versions");
    check("/apis", "Groups");
    check("/api/v1", "resources  v1");
    check("/apis/leno.dev/v1alpha1", "resources leno.dev v1alpha1");
    check("/api/v1/services", "list Service *");
    check("/api/v1/namespaces/default/services", "list Service default");
    check("/api/v1/namespaces/default/services/a", "object Service default a");
    check("/apis/leno.dev/v1alpha1/clusters/west", "object Cluster  west");
    check("/apis/networking.istio.io/v1/namespaces/n/workloadgroups/w/token", "token of WorkloadGroup n w");
    check("/leno/v1/status", "report status");
}

#[test]
fn other_paths_are_unknown() {
    for path in [
        "/",
        "/api/v2",
        "/api/v1/pods",
        "/api/v1/services/a",
        "/apis/leno.dev/v1alpha1/namespaces/n/clusters/west",
        "/api/v1/namespaces/default/services/a/b/c",
        "/api/v1/namespaces//services//",
        "/leno/v1/a/b",
    ] {
        check(path, "Unknown");
    }
}
