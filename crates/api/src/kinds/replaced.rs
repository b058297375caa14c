//! Kinds of others that are known and not read, and what to use instead.

use super::{GATEWAY_GROUP, ISTIO_NETWORKING_GROUP, ISTIO_SECURITY_GROUP};

/// What to use instead of a known kind that is not read: `(group, kind, advice)`.
pub(crate) const REPLACED: &[(&str, &str, &str)] = &[
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
