//! Why a request or connection ended as it did: one flat, append-only table.
//!
//! A row answers what happened, whose fault it was, and whether it may be tried again; it gives the HTTP
//! and gRPC status and Envoy's response flag (Envoy documentation, "Access logging", `%RESPONSE_FLAGS%`), beside which `RBAC` is ours.

/// Whose fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The caller.
    Downstream,
    /// The callee or the way to it.
    Upstream,
    /// What somebody configured.
    Configuration,
    /// A policy said no.
    Policy,
    /// Leno itself.
    Proxy,
}

/// Whether an attempt that failed so may be repeated elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing of the request reached an application: any method may be repeated.
    Safe,
    /// The connection broke before the first byte of an answer; the request may have reached an application:
    /// idempotent methods only (RFC 9110 section 9.2.2).
    IfIdempotent,
    /// It has reached an application, or takes its time there: idempotent methods only, and only where the rule has
    /// a `retry`.
    IfConfigured,
    /// Repeating cannot help or is forbidden.
    Never,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonRow {
    /// Stable code, also `response_code_details` in the access log.
    pub code: &'static str,
    /// HTTP status of the local reply; 0: none is sent.
    pub status: u16,
    /// gRPC status of the local reply.
    pub grpc: u8,
    /// Envoy's response flag; empty: none.
    pub flag: &'static str,
    /// Whose fault.
    pub blame: Blame,
    /// Whether it may be retried.
    pub retry: Retry,
    /// What to do about it, one sentence.
    pub advice: &'static str,
}

macro_rules! reasons {
    ($($name:ident: $code:literal $status:literal $grpc:literal $flag:literal $blame:ident $retry:ident $advice:literal;)*) => {
        /// Why it ended so. See the module's head.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $(#[doc = $advice] $name,)* }

        impl Reason {
            /// All rows, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The row of this reason.
            pub const fn row(self) -> ReasonRow {
                match self { $(Reason::$name => ReasonRow {
                    code: $code, status: $status, grpc: $grpc, flag: $flag,
                    blame: Blame::$blame, retry: Retry::$retry, advice: $advice,
                },)* }
            }

            /// The reason with this code.
            pub fn by_code(code: &str) -> Option<Reason> {
                match code { $($code => Some(Reason::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    NoRoute: "route_not_found" 404 12 "NR" Configuration Never "No rule matches this host and path; add a route or correct its match.";
    NoBackend: "no_backend" 500 14 "NR" Configuration Never "The rule has no valid backend; correct its backendRefs.";
    UnknownHost: "cluster_not_found" 503 14 "NC" Configuration Never "The backend's service is not known here; create the Service or GlobalService.";
    NoEndpoint: "no_healthy_upstream" 503 14 "UH" Upstream Safe "The service has no ready endpoint in any cluster; check its workloads.";
    ConnectFailed: "upstream_connect_failure" 503 14 "UF" Upstream Safe "The endpoint refused or could not be reached; check that the workload listens.";
    ConnectTimeout: "upstream_connect_timeout" 503 14 "UF" Upstream Safe "The endpoint did not answer in time; check the network between the hosts.";
    TlsFailed: "upstream_tls_failure" 503 14 "UF" Upstream Safe "The endpoint could not prove the expected identity; check its certificate and trust domain.";
    GatewayRefused: "gateway_refused" 503 14 "UF" Upstream Safe "The remote network's gateway has no endpoint for the service, or it is not exported.";
    Refused: "upstream_refused_stream" 503 14 "UF" Upstream Safe "The callee's proxy refused before its application saw anything.";
    UpstreamOverflow: "upstream_overflow" 503 14 "UO" Upstream Safe "All streams that the endpoint allows are in use, on as many connections as may be open to it; raise its limit of concurrent streams or add endpoints.";
    UpstreamReset: "upstream_reset_before_response" 503 14 "UC" Upstream IfIdempotent "The upstream connection ended before a response; look at the callee.";
    UpstreamSilent: "upstream_keepalive_timeout" 503 14 "UC" Upstream IfIdempotent "The other end answers nothing any more, not even a PING; look at its host and the network between.";
    UpstreamProtocol: "upstream_protocol_error" 502 14 "UPE" Upstream IfConfigured "The upstream sent a malformed response; look at the callee.";
    ResponseHeadersTooLarge: "upstream_response_headers_too_large" 502 14 "UPE" Upstream Never "The response has more than 100 header fields (HTTP/1) or 64 KiB of them, which is the limit here; send fewer.";
    ResponseReset: "upstream_reset_after_response_started" 0 14 "UC" Upstream Never "The upstream connection ended in the middle of the response.";
    RequestTimeout: "response_timeout" 504 4 "UT" Upstream Never "The route's request timeout passed; raise it or speed up the callee.";
    AttemptTimeout: "per_try_timeout" 504 4 "UT" Upstream IfConfigured "The route's backendRequest timeout passed; raise it or speed up the callee.";
    RetriesExhausted: "retry_limit_exceeded" 503 14 "URX" Upstream Never "All attempts that the route allows have failed; the flag stands beside that of the last failure. Look at the callee.";
    RetryBudgetExhausted: "retry_budget_exhausted" 503 14 "UO" Upstream Never "It would have been tried again, but a fifth of the service's requests already were; the flag stands beside that of the last failure. Look at the callee.";
    Denied: "rbac_access_denied" 403 7 "RBAC" Policy Never "An AuthorizationPolicy denies this; the same line of the access log names it (`policy`), or says `none` and names the ALLOW policies of which none matched (`allow_policies`).";
    DownstreamReset: "downstream_remote_disconnect" 0 1 "DC" Downstream Never "The caller went away before the response was complete.";
    BadRequest: "downstream_protocol_error" 400 3 "DPE" Downstream Never "The caller's request is malformed.";
    HeadersTooLarge: "request_headers_too_large" 431 8 "DPE" Downstream Never "The request's headers exceed the limit.";
    BadPath: "path_normalization_failed" 400 3 "DPE" Downstream Never "The path has no sound reading: a backslash, a control character, a broken or overlong escape, escapes within escapes, or an encoded slash where pathWithEscapedSlashesAction refuses it.";
    HeaderTimeout: "request_header_timeout" 408 4 "" Downstream Never "The caller did not finish its headers in time.";
    BudgetExhausted: "connection_budget_exhausted" 0 8 "DPE" Downstream Never "The connection used up its budget of frames, resets or bytes held; read responses, or open fewer at a time.";
    Plaintext: "plaintext_refused" 0 16 "NONE" Policy Never "Plaintext reached a workload that accepts mutual TLS only; call it through the mesh.";
    NoPeerCertificate: "peer_without_certificate" 0 16 "NONE" Policy Never "The caller showed no certificate: a workload must join the mesh, a client of a gateway must have one of an authority that the listener trusts.";
    PeerUntrusted: "peer_certificate_untrusted" 0 16 "NONE" Policy Never "The caller's certificate does not chain to a trusted root.";
    PeerExpired: "peer_certificate_expired" 0 16 "NONE" Policy Never "The caller's certificate has expired; check its renewal.";
    PeerWrongDomain: "peer_trust_domain_unknown" 0 16 "NONE" Policy Never "The caller belongs to a trust domain that is not trusted here.";
    PeerHandshake: "peer_handshake_failed" 0 16 "NONE" Downstream Never "The caller's TLS handshake failed.";
    NotMyDestination: "destination_not_local" 503 14 "NR" Policy Never "A tunnel asked for a destination that is not this workload's.";
    NotExported: "service_not_exported" 403 7 "NR" Policy Never "A caller from another cluster asked for what this cluster does not export.";
    UnknownAddress: "mesh_address_unknown" 0 14 "NC" Configuration Never "The mesh-only address belongs to no known service.";
    NotSynced: "configuration_unavailable" 503 14 "NC" Proxy Safe "The proxy has not received its configuration yet.";
    Draining: "draining" 503 14 "" Proxy Safe "This proxy is draining and takes nothing new.";
    TooManyConnections: "connection_limit" 503 14 "UO" Proxy Safe "A limit on connections or streams was reached.";
    ExpectationFailed: "expectation_unknown" 417 3 "DPE" Downstream Never "The caller's expect header asks for something else than 100-continue.";
    RequestBodyTimeout: "request_body_timeout" 408 4 "SI" Downstream Never "The caller stopped in the middle of its request's body.";
    DeniedUpstream: "upstream_rbac_access_denied" 403 7 "RBAC" Policy Never "An AuthorizationPolicy of the callee, or of the gateway before it, denies this; the access log of that proxy names it in the line with the same request_id.";
    UpgradeFailed: "upgrade_failed" 403 7 "" Configuration Never "The protocol that the caller asks for is not among `upgradeConfigs` of MeshSettings, it asks for it in a way that has no meaning, or the upstream takes no upgrades over HTTP/2; the same of a CONNECT, which gateways and callers' proxies alone take; allow the protocol, or declare the service's port as `http`.";
    Internal: "internal_error" 500 13 "" Proxy Never "A defect in Leno; please report it.";
    PeerNotYetValid: "peer_certificate_not_yet_valid" 0 16 "NONE" Policy Never "The caller's certificate is not valid yet by this host's clock; check the clocks of both hosts (NTP).";
    StreamIdle: "stream_idle_timeout" 0 4 "SI" Downstream Never "The caller did not read its response for too long, or no byte of an upgraded stream passed; it must read on or open fewer at a time, or send something now and then (`upgradeIdleTimeout`).";
    AmbiguousPath: "path_is_ambiguous" 400 3 "DPE" Downstream Never "Applications read this path in different ways (`;`, `//`, or an encoded `/`, `;`, `?`, `#` or `%`), and a rule or policy treats them differently; let it treat them alike, or set pathNormalization.";
    FilterFailed: "filter_failed" 500 13 "" Configuration Never "A filter that must not be passed by could not tell; look at the service that it asks.";
    FaultInjected: "fault_filter_abort" 503 14 "FI" Configuration Never "The rule's fault filter failed this request on purpose; take the fault out of the route.";
    DelayInjected: "fault_filter_delay" 0 4 "DI" Configuration Never "The rule's fault filter made this request wait on purpose; take the fault out of the route.";
    MtlsDisabled: "mutual_tls_disabled" 503 14 "NR" Policy Safe "A PeerAuthentication says DISABLE for this port, which takes plaintext alone; across networks there is none: say PERMISSIVE there.";
    UpgradeIgnored: "upgrade_ignored" 502 14 "UPE" Upstream Never "The callee answered a caller of HTTP/2, who asked for another protocol, as if it had not; look at its path and protocol.";
    BackendTlsUnusable: "backend_tls_unusable" 503 14 "UF" Configuration Never "The TLS that a policy asks for to this service cannot be used, as where its authorities or its certificate cannot be read, and nothing is sent without it; the proxy's log and the findings say why.";
    Misdirected: "misdirected_request" 421 2 "NR" Downstream Never "The request came on a connection in TLS that was made for another listener's host; the caller must open one for this host, as browsers do when they see this.";
    ServerNameUnknown: "server_name_unknown" 0 16 "NR" Configuration Never "No listener in TLS at this port has the server name (SNI) that the caller asked for; add a listener, or correct its hostname.";
    NoServerCertificate: "server_certificate_missing" 0 14 "NC" Configuration Never "The listener has no certificate that can be used; the finding about its Secret, or the log line about its files, says why.";
    MetadataBlocked: "metadata_address_blocked" 403 7 "UAEX" Policy Never "The address is that of a cloud's metadata service, which tells secrets of the host; if the application must call it, name it in egress.allowedMetadata of MeshSettings.";
    EgressDenied: "egress_denied" 502 14 "UH" Policy Never "Nobody described this destination, and MeshSettings let applications call only what is described (outbound); describe it by a ServiceEntry.";
    GrpcTimeout: "grpc_timeout" 504 4 "UT" Upstream Never "The time passed that the caller gave its call by `grpc-timeout`; it must ask for more, or the callee be faster.";
    TlsOutdated: "tls_requirements_changed" 421 2 "NR" Downstream Never "What the caller showed in its handshake is not what the listener asks for now: its certificate has expired or nobody vouches for it any more, or another version of TLS is wanted; the caller must open a new connection.";
    ProxyHeaderInvalid: "proxy_protocol_header_invalid" 0 3 "DPE" Downstream Never "The listener wants a header of the PROXY protocol in front of each connection (`proxyProtocol` of a TrafficPolicy), and none came, or a broken one, or not within 10 s; let the load balancer send it, or make it `optional`.";
    ProxyHeaderUntrusted: "proxy_protocol_peer_untrusted" 0 7 "NONE" Policy Never "The connection comes from an address that is not among `proxyProtocol.trustedCIDRs` of the TrafficPolicy, and says, or must say, for whom it stands; add the load balancer's address there.";
    ClientAddressUnknown: "original_ip_detection_failed" 403 7 "" Policy Never "The proxy in front did not say who called, in the header that `clientIPDetection.customHeader` of the TrafficPolicy names, and it says `failClosed`.";
    UnexpectedUnderscore: "unexpected_underscore" 400 3 "DPE" Downstream Never "The name of a header has a `_`, which `headers.withUnderscoresAction` of a TrafficPolicy refuses.";
    RequestReceivedTimeout: "request_overall_timeout" 408 4 "" Downstream Never "The caller did not send all of its request within `timeout.http.requestReceivedTimeout` of the TrafficPolicy; it must be faster, or the time longer.";
}
