//! The kinds that Leno reads, and the names that Kubernetes-shaped paths and the command line use for them.

/// One kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// For example `HTTPRoute`.
    pub kind: &'static str,
    /// For example `httproutes`, as in paths.
    pub plural: &'static str,
    /// For example `httproute`.
    pub singular: &'static str,
    /// Short names for the command line.
    pub short: &'static [&'static str],
    /// API group; empty for core.
    pub group: &'static str,
    /// Accepted versions, the preferred one first.
    pub versions: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
}

/// Gateway API's group.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// Istio's networking group.
pub const ISTIO_NETWORKING_GROUP: &str = "networking.istio.io";
/// Istio's security group.
pub const ISTIO_SECURITY_GROUP: &str = "security.istio.io";
/// Our own group.
pub const LENO_GROUP: &str = "leno.dev";

const fn kind(
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static [&'static str],
    group: &'static str,
    versions: &'static [&'static str],
    namespaced: bool,
) -> Kind {
    Kind { kind, plural, singular, short, group, versions, namespaced }
}

/// All kinds, in the order in which they are listed.
pub const ALL: &[Kind] = &[
    kind("Namespace", "namespaces", "namespace", &["ns"], "", &["v1"], false),
    kind("Service", "services", "service", &["svc"], "", &["v1"], true),
    kind("Gateway", "gateways", "gateway", &["gtw"], GATEWAY_GROUP, &["v1", "v1beta1"], true),
    kind("HTTPRoute", "httproutes", "httproute", &["hr"], GATEWAY_GROUP, &["v1", "v1beta1"], true),
    kind(
        "WorkloadGroup",
        "workloadgroups",
        "workloadgroup",
        &["wg"],
        ISTIO_NETWORKING_GROUP,
        &["v1", "v1beta1", "v1alpha3"],
        true,
    ),
    kind(
        "AuthorizationPolicy",
        "authorizationpolicies",
        "authorizationpolicy",
        &["ap"],
        ISTIO_SECURITY_GROUP,
        &["v1", "v1beta1"],
        true,
    ),
    kind("MeshSettings", "meshsettings", "meshsettings", &[], LENO_GROUP, &["v1alpha1"], false),
    kind("Cluster", "clusters", "cluster", &[], LENO_GROUP, &["v1alpha1"], false),
    kind("GlobalService", "globalservices", "globalservice", &["gs"], LENO_GROUP, &["v1alpha1"], true),
    kind("Backend", "backends", "backend", &[], LENO_GROUP, &["v1alpha1"], true),
];

impl Kind {
    /// `v1` or `GROUP/VERSION`, with the preferred version.
    pub fn api_version(&self) -> String {
        let version = self.versions.first().copied().unwrap_or("v1");
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }
}

/// Splits `GROUP/VERSION`; the core group is empty.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The kind with this name, for example `HTTPRoute` (kind names are unique among those read).
pub fn by_kind(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|k| k.kind == name)
}

/// The kind at this path, for example (`gateway.networking.k8s.io`, `httproutes`).
pub fn by_plural(group: &str, plural: &str) -> Option<&'static Kind> {
    ALL.iter().find(|k| k.group == group && k.plural == plural)
}

/// The kind that a person means: kind, plural, singular or short name, in any case.
pub fn by_any(text: &str) -> Option<&'static Kind> {
    ALL.iter().find(|k| {
        [k.kind, k.plural, k.singular].iter().chain(k.short).any(|name| name.eq_ignore_ascii_case(text))
    })
}

/// What to use instead of a known kind that is not read: `(group, kind, advice)`.
pub const REPLACED: &[(&str, &str, &str)] = &[
    (
        ISTIO_NETWORKING_GROUP,
        "EnvoyFilter",
        "use HTTPRoute filters; a route, header or timeout needs no EnvoyFilter here",
    ),
    (
        ISTIO_NETWORKING_GROUP,
        "VirtualService",
        "use HTTPRoute for matches by path, header, query and method, weights, redirects, rewrites, header edits, \
         timeouts and retries; faults, mirrors, CORS, TCP and TLS routes have no replacement yet",
    ),
    (
        ISTIO_NETWORKING_GROUP,
        "DestinationRule",
        "use one Service per version and HTTPRoute backendRefs with weights",
    ),
    (
        ISTIO_NETWORKING_GROUP,
        "Gateway",
        "use Gateway of gateway.networking.k8s.io/v1 with gatewayClassName leno",
    ),
    (ISTIO_NETWORKING_GROUP, "ServiceEntry", "use Backend of leno.dev/v1alpha1 for fixed addresses"),
    (
        ISTIO_NETWORKING_GROUP,
        "WorkloadEntry",
        "use WorkloadGroup: workloads register themselves when they join",
    ),
    (ISTIO_NETWORKING_GROUP, "Sidecar", "leave it out: proxies fetch on demand only what they use"),
    (ISTIO_NETWORKING_GROUP, "ProxyConfig", "use the options of leno proxy"),
    (
        ISTIO_SECURITY_GROUP,
        "PeerAuthentication",
        "nothing replaces it: mutual TLS is always STRICT, and plaintext callers are refused whatever it says",
    ),
    (
        ISTIO_SECURITY_GROUP,
        "RequestAuthentication",
        "nothing replaces it: tokens are not validated yet, so requests without one are not refused; allow callers \
         by `principals` in an AuthorizationPolicy",
    ),
    (
        "telemetry.istio.io",
        "Telemetry",
        "leave it out: metrics are always there, and an access log is the option --access-log of leno proxy",
    ),
    (
        "extensions.istio.io",
        "WasmPlugin",
        "nothing replaces it: extensions are not read yet, so what they check is not checked",
    ),
    (GATEWAY_GROUP, "GatewayClass", "leave it out: the classes leno and leno-east-west are built in"),
    (GATEWAY_GROUP, "GRPCRoute", "use HTTPRoute: a gRPC method is the path /SERVICE/METHOD"),
    (GATEWAY_GROUP, "TLSRoute", "nothing replaces it: routes by server name are not read yet"),
    (GATEWAY_GROUP, "TCPRoute", "leave it out: TCP goes to the Service of the port, without a route"),
    (GATEWAY_GROUP, "UDPRoute", "leave it out: the mesh carries TCP only"),
    (GATEWAY_GROUP, "ListenerSet", "put the listeners into the Gateway"),
    (
        GATEWAY_GROUP,
        "BackendTLSPolicy",
        "nothing replaces it: connections to backends outside the mesh are plaintext",
    ),
    (GATEWAY_GROUP, "ReferenceGrant", "keep a route and its backends in one namespace"),
    ("networking.k8s.io", "Ingress", "use Gateway and HTTPRoute of gateway.networking.k8s.io/v1"),
];

#[cfg(test)]
mod tests;
