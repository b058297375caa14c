//! Random resources of every kind.

mod external;

use model::address::MeshPrefix;
use model::authz::{Action, Cidr, Condition, ConditionKey, Glob, Operation, Policy, Rule, Source};
use model::backend_tls::{Authorities, BackendTls, CertificateFiles, SubjectAltName, TlsOrigination};
use model::client_traffic::{
    ClientAddressHeader, ClientCertDetail, ClientIpDetection, ClientTraffic, ForwardClientCert,
    ForwardClientCertMode, ProxyProtocolIn, RequestIdAction, UnderscoresAction,
};
use model::federation::{Export, RemoteCluster, RemoteGateway};
use model::filter::{
    AbortStatus, Cors, DerivedPort, DirectResponse, EchoRequestId, FaultAbort, FaultDelay, FaultInjection,
    FilterConfig, Fraction, HeaderEdit, Mirror, OriginMatch, PathRewrite, Redirect, RequestHeaders,
    ResponseHeaders, Rewrite,
};
use model::l4_route::{L4Match, L4Rule};
use model::listener::{Exports, Gateway, GatewayListener, Inbound, InboundPort, ListenerProtocol};
use model::listener_tls::{
    CaBundle, CertificateRef, ClientMode, ClientValidation, KeyPair, ListenerTls, SecretString, TlsMode,
    TlsVersion, TlsVersions,
};
use model::mtls::{InboundMtls, MtlsMode};
use model::names::Names;
use model::probe::{
    GrpcProbe, HttpGetProbe, ProbeAction, ProbeHeader, ProbeScheme, ReadinessProbe, TcpSocketProbe,
};
use model::route::{
    ExtraConditions, GrpcMethodMatch, HostMatch, Parent, PathMatch, Pattern, Precedence, RetryCondition,
    RetryHosts, RetryPolicy, RouteBackend, RouteMatch, RouteRule, SourceMatch, StringMatch, ValueMatch,
};
use model::service::{
    Endpoint, EndpointProfile, EndpointSlice, EndpointState, Headless, Protocol, Reach, Service, ServicePort,
};
use model::settings::{EscapedSlashesAction, HttpConnections, Normalization, PathNormalization};
use model::traffic::{
    AttachLevel, AttachedPolicy, ConnectionPool, ConsistentHash, LoadBalancer, SimpleLoadBalancer,
    TcpKeepaliveProbes, TrafficPolicy,
};
use model::trust::TrustBundle;
use model::{Hostname, Locality, MeshSettings, ObjectRef, Origin, Resource, SpiffeId, TrustDomain};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

type Text = Arc<str>;

fn text() -> impl Strategy<Value = Text> + Clone {
    prop_oneof![Just(""), Just("a"), Just("north"), Just("x-y_z"), Just("ä/ö")].prop_map(Text::from)
}

fn host() -> impl Strategy<Value = Hostname> + Clone {
    prop_oneof![Just("a"), Just("shop.mesh.internal"), Just("s.n.svc.cluster.local")]
        .prop_map(|text| Hostname::parse(text).unwrap())
}

fn identity() -> impl Strategy<Value = SpiffeId> + Clone {
    prop_oneof![Just("spiffe://a.b/ns/x/sa/y"), Just("spiffe://c/ns/p/sa/q"), Just("spiffe://a.b/ns/x/sa/z")]
        .prop_map(|text| SpiffeId::parse(text).unwrap())
}

fn locality() -> impl Strategy<Value = Locality> {
    (text(), text()).prop_map(|(region, zone)| Locality { region, zone })
}

fn origin() -> impl Strategy<Value = Origin> {
    (text(), text(), text(), text(), any::<u32>()).prop_map(|(kind, namespace, name, file, line)| Origin {
        object: ObjectRef { kind, namespace, name },
        file,
        line,
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Http1), Just(Protocol::Http2), Just(Protocol::Tcp), Just(Protocol::Undeclared)]
}

fn pairs() -> impl Strategy<Value = Vec<(Text, Text)>> {
    vec((text(), text()), 0..3)
}

fn port() -> impl Strategy<Value = ServicePort> {
    (any::<u16>(), any::<u16>(), protocol(), text())
        .prop_map(|(port, target_port, protocol, name)| ServicePort { port, target_port, protocol, name })
}

fn service() -> impl Strategy<Value = Service> {
    let address = of(any::<Ipv4Addr>());
    let headless = of(any::<bool>().prop_map(|publishes_unready| Headless { publishes_unready }));
    let beside = (any::<bool>(), vec(text(), 0..3), headless, of(external::service()));
    (host(), text(), text(), address, vec(port(), 0..3), beside).prop_map(
        |(host, namespace, name, address, ports, (global, failover_order, headless, external))| Service {
            host,
            namespace,
            name,
            address,
            ports,
            global,
            failover_order,
            headless,
            external: external.map(Box::new),
        },
    )
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let reach =
        prop_oneof![Just(Reach::Native), Just(Reach::Hbone), Just(Reach::Plain), Just(Reach::Gateway)];
    let state =
        prop_oneof![Just(EndpointState::Ready), Just(EndpointState::Draining), Just(EndpointState::Unready)];
    let uid = prop_oneof![
        any::<u64>().prop_map(|n| format!("{n:016x}")),
        any::<u16>().prop_map(|n| format!("west/shop-{n:04x}")),
        any::<u8>().prop_map(|n| format!("pod-{n}")),
        "\\PC{0,8}",
    ];
    let first = (uid, any::<IpAddr>(), any::<u16>(), reach, text());
    let plaintext_ports = vec(any::<u16>(), 0..3);
    let second = (locality(), vec(identity(), 0..3), of(identity()), any::<u32>(), state, plaintext_ports);
    (first, second).prop_map(|((uid, address, port, reach, cluster), second)| {
        let (locality, identities, gateway_identity, weight, state, plaintext_ports) = second;
        let profile =
            EndpointProfile { reach, cluster, locality, identities, gateway_identity, plaintext_ports };
        Endpoint { uid: uid.into(), address, port, weight, state, profile: profile.into() }
    })
}

fn slice() -> impl Strategy<Value = EndpointSlice> {
    (host(), any::<u32>(), vec(endpoint(), 0..6)).prop_map(|(host, index, endpoints)| EndpointSlice {
        host,
        index,
        endpoints: endpoints.into(),
    })
}

fn host_match() -> impl Strategy<Value = HostMatch> {
    prop_oneof![
        host().prop_map(HostMatch::Exact),
        host().prop_map(HostMatch::Suffix),
        text().prop_map(HostMatch::Ending)
    ]
}

fn string_match() -> impl Strategy<Value = StringMatch> {
    prop_oneof![
        text().prop_map(StringMatch::Exact),
        text().prop_map(StringMatch::Prefix),
        text().prop_map(|text| StringMatch::Regex(Pattern(text))),
        Just(StringMatch::Present),
    ]
}

fn value_match() -> impl Strategy<Value = ValueMatch> {
    (text(), string_match()).prop_map(|(name, value)| ValueMatch { name, value })
}

fn grpc_method() -> impl Strategy<Value = GrpcMethodMatch> {
    let pattern = || text().prop_map(Pattern);
    prop_oneof![
        (of(text()), of(text())).prop_map(|(service, method)| GrpcMethodMatch::Exact { service, method }),
        (pattern(), of(pattern()))
            .prop_map(|(service, method)| GrpcMethodMatch::Regex { service: Some(service), method }),
        pattern().prop_map(|method| GrpcMethodMatch::Regex { service: None, method: Some(method) }),
    ]
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let path = prop_oneof![
        text().prop_map(PathMatch::Exact),
        text().prop_map(PathMatch::Prefix),
        text().prop_map(|text| PathMatch::Regex(Pattern(text))),
        text().prop_map(PathMatch::StringPrefix),
        text().prop_map(PathMatch::ExactIgnoreCase),
        text().prop_map(PathMatch::StringPrefixIgnoreCase),
        grpc_method().prop_map(|method| PathMatch::Grpc(Box::new(method))),
    ];
    let values = || vec(value_match(), 0..3);
    let source = (of(text()), pairs()).prop_map(|(namespace, labels)| SourceMatch { namespace, labels });
    let extra = (values(), of(string_match()), of(string_match()), of(any::<u16>()), of(source)).prop_map(
        |(without_headers, scheme, authority, port, source)| {
            Box::new(ExtraConditions { without_headers, scheme, authority, port, source })
        },
    );
    (path, of(string_match()), values(), values(), of(extra))
        .prop_map(|(path, method, headers, query, extra)| RouteMatch { path, method, headers, query, extra })
}

fn fraction() -> impl Strategy<Value = Fraction> {
    (any::<u32>(), any::<u32>()).prop_map(|(numerator, denominator)| Fraction { numerator, denominator })
}

fn mirror() -> impl Strategy<Value = Mirror> {
    (host(), any::<u16>(), fraction(), text()).prop_map(|(host, port, share, host_suffix)| Mirror {
        host,
        port,
        share,
        host_suffix,
    })
}

fn cors() -> impl Strategy<Value = Cors> {
    let origin = prop_oneof![
        Just(OriginMatch::Any),
        text().prop_map(OriginMatch::Exact),
        text().prop_map(OriginMatch::Prefix),
        text().prop_map(|text| OriginMatch::Regex(Pattern(text))),
        (text(), text()).prop_map(|(before, after)| OriginMatch::Wildcard { before, after }),
    ];
    let texts = || vec(text(), 0..3);
    (vec(origin, 0..3), texts(), texts(), texts(), any::<bool>(), of(any::<u32>())).prop_map(
        |(allow_origins, allow_methods, allow_headers, expose_headers, allow_credentials, max_age_s)| Cors {
            allow_origins,
            allow_methods,
            allow_headers,
            expose_headers,
            allow_credentials,
            max_age_s,
            ..Cors::default()
        },
    )
}

fn fault() -> impl Strategy<Value = FaultInjection> {
    let delay = (duration(), fraction()).prop_map(|(fixed, share)| FaultDelay { fixed, share });
    let with = prop_oneof![any::<u16>().prop_map(AbortStatus::Http), any::<u8>().prop_map(AbortStatus::Grpc)];
    let abort = (with, fraction()).prop_map(|(with, share)| FaultAbort { with, share });
    (of(delay), of(abort)).prop_map(|(delay, abort)| FaultInjection { delay, abort })
}

fn filter() -> impl Strategy<Value = FilterConfig> {
    let edit = || {
        (pairs(), pairs(), vec(text(), 0..3)).prop_map(|(set, add, remove)| HeaderEdit { set, add, remove })
    };
    let path = || {
        prop_oneof![
            text().prop_map(PathRewrite::Full),
            text().prop_map(PathRewrite::Prefix),
            text().prop_map(PathRewrite::StringPrefix),
            (text(), text()).prop_map(|(pattern, substitution)| {
                PathRewrite::Regex { pattern: Pattern(pattern), substitution }
            }),
        ]
    };
    let derived = prop_oneof![
        Just(DerivedPort::SchemeOrListener),
        Just(DerivedPort::Listener),
        Just(DerivedPort::Authority)
    ];
    let redirect = (of(text()), of(text()), of(any::<u16>()), derived, of(path()), any::<u16>()).prop_map(
        |(scheme, hostname, port, derived_port, path, status)| Redirect {
            scheme,
            hostname,
            port,
            derived_port,
            path,
            status,
        },
    );
    prop_oneof![
        edit().prop_map(RequestHeaders).prop_map(FilterConfig::RequestHeaders),
        edit().prop_map(ResponseHeaders).prop_map(FilterConfig::ResponseHeaders),
        redirect.prop_map(FilterConfig::Redirect),
        (of(text()), of(path()))
            .prop_map(|(hostname, path)| FilterConfig::Rewrite(Rewrite { hostname, path })),
        (any::<u16>(), text())
            .prop_map(|(status, body)| FilterConfig::DirectResponse(DirectResponse { status, body })),
        Just(FilterConfig::EchoRequestId(EchoRequestId {})),
        mirror().prop_map(FilterConfig::Mirror),
        cors().prop_map(|cors| FilterConfig::Cors(Box::new(cors))),
        fault().prop_map(|fault| FilterConfig::Fault(Box::new(fault))),
    ]
}

fn duration() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn parent() -> impl Strategy<Value = Parent> {
    prop_oneof![
        (host(), any::<u16>()).prop_map(|(host, port)| Parent::Service { host, port }),
        (text(), text(), text()).prop_map(|(namespace, name, listener)| Parent::Gateway {
            namespace,
            name,
            listener
        }),
    ]
}

fn backend() -> impl Strategy<Value = RouteBackend> {
    (of(host()), any::<u16>(), any::<u32>(), vec(filter(), 0..2)).prop_map(|(host, port, weight, filters)| {
        RouteBackend { host, port, weight, filters: filters.into() }
    })
}

fn l4_rule() -> impl Strategy<Value = L4Rule> {
    let blocks = || vec(cidr(), 0..3);
    let matched = (vec(host_match(), 0..3), blocks(), blocks(), any::<u16>()).prop_map(
        |(server_names, destinations, sources, port)| L4Match { server_names, destinations, sources, port },
    );
    let first = (parent(), origin(), any::<u32>(), any::<u64>(), of(text()));
    (first, vec(matched, 0..3), vec(backend(), 0..3)).prop_map(|(first, matches, backends)| {
        let (parent, origin, index, created_s, consumer) = first;
        L4Rule { parent, origin, index, created_s, consumer, matches, backends }
    })
}

fn rule() -> impl Strategy<Value = RouteRule> {
    let condition = (0..RetryCondition::ALL.len()).prop_map(|index| RetryCondition::ALL[index].1);
    let hosts =
        prop_oneof![Just(RetryHosts::NotTried), Just(RetryHosts::Any), Just(RetryHosts::NextPriority)];
    let retry = (any::<u32>(), vec(any::<u16>(), 0..3), duration(), of(vec(condition, 0..3)), hosts)
        .prop_map(|(attempts, codes, backoff, conditions, hosts)| RetryPolicy {
            attempts,
            codes,
            backoff,
            conditions,
            hosts,
        });
    let precedence = prop_oneof![Just(Precedence::Specific), Just(Precedence::Written)];
    let named = (any::<u32>(), of(text()), precedence);
    let first = (parent(), origin(), named, any::<u64>(), vec(host_match(), 0..3));
    let second = (vec(route_match(), 0..3), vec(filter(), 0..3), vec(backend(), 0..3));
    let third = (of(duration()), of(duration()), of(retry), of(text()));
    (first, second, third).prop_map(|(first, (matches, filters, backends), third)| {
        let (parent, origin, (index, name, precedence), created_s, hosts) = first;
        let (request_timeout, backend_timeout, retry, consumer) = third;
        RouteRule {
            parent,
            origin,
            index,
            name,
            precedence,
            created_s,
            consumer,
            hosts,
            matches,
            filters,
            backends,
            request_timeout,
            backend_timeout,
            retry: retry.map(Box::new),
        }
    })
}

fn globs() -> impl Strategy<Value = Vec<Glob>> {
    let glob = prop_oneof![
        text().prop_map(Glob::Exact),
        text().prop_map(Glob::Prefix),
        text().prop_map(Glob::Suffix),
        Just(Glob::Present),
    ];
    vec(glob, 0..3)
}

fn cidr() -> impl Strategy<Value = Cidr> {
    (any::<IpAddr>(), 0..=128_u8).prop_map(|(address, prefix)| Cidr {
        address,
        prefix: if address.is_ipv4() { prefix.min(32) } else { prefix },
    })
}

fn settings() -> impl Strategy<Value = MeshSettings> {
    let normalization = prop_oneof![
        Just(Normalization::None),
        Just(Normalization::Base),
        Just(Normalization::MergeSlashes),
        Just(Normalization::DecodeAndMergeSlashes),
    ];
    let escaped_slashes = prop_oneof![
        Just(EscapedSlashesAction::KeepUnchanged),
        Just(EscapedSlashesAction::RejectRequest),
        Just(EscapedSlashesAction::UnescapeAndRedirect),
        Just(EscapedSlashesAction::UnescapeAndForward),
    ];
    let path = (normalization, escaped_slashes)
        .prop_map(|(normalization, escaped_slashes)| PathNormalization { normalization, escaped_slashes });
    let timeout = || (1..86_400_000_u64).prop_map(Duration::from_millis);
    let http = (any::<u32>(), vec(cidr(), 0..3), timeout(), timeout(), vec(text(), 0..3), timeout())
        .prop_map(
            |(
                hops,
                xff_trusted_cidrs,
                idle_timeout,
                stream_idle_timeout,
                upgrade_types,
                upgrade_idle_timeout,
            )| {
                HttpConnections {
                    xff_num_trusted_hops: hops,
                    xff_trusted_cidrs,
                    idle_timeout,
                    stream_idle_timeout,
                    upgrade_types,
                    upgrade_idle_timeout,
                }
            },
        );
    let ipv6_prefix = any::<[u8; 5]>().prop_map(|id| {
        let mut octets = [0; 16];
        octets[0] = 0xfd;
        octets[1..6].copy_from_slice(&id);
        MeshPrefix::of(octets.into()).unwrap()
    });
    (path, http, ipv6_prefix, external::egress()).prop_map(|(path, http, ipv6_prefix, egress)| MeshSettings {
        path,
        http,
        ipv6_prefix,
        egress,
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let source = (
        globs(),
        globs(),
        globs(),
        globs(),
        vec(text(), 0..2),
        vec(text(), 0..2),
        vec(cidr(), 0..2),
        vec(cidr(), 0..2),
        vec(cidr(), 0..2),
        vec(cidr(), 0..2),
    )
        .prop_map(
            |(
                principals,
                not_principals,
                namespaces,
                not_namespaces,
                accounts,
                not_accounts,
                blocks,
                not_blocks,
                remote_blocks,
                not_remote_blocks,
            )| {
                Source {
                    principals,
                    not_principals,
                    namespaces,
                    not_namespaces,
                    service_accounts: accounts,
                    not_service_accounts: not_accounts,
                    ip_blocks: blocks,
                    not_ip_blocks: not_blocks,
                    remote_ip_blocks: remote_blocks,
                    not_remote_ip_blocks: not_remote_blocks,
                }
            },
        );
    let ports = || vec(any::<u16>(), 0..2);
    let operation = (globs(), globs(), ports(), ports(), globs(), globs(), globs(), globs()).prop_map(
        |(hosts, not_hosts, ports, not_ports, methods, not_methods, paths, not_paths)| Operation {
            hosts,
            not_hosts,
            ports,
            not_ports,
            methods,
            not_methods,
            paths,
            not_paths,
        },
    );
    let key = prop_oneof![
        text().prop_map(ConditionKey::Header),
        Just(ConditionKey::SourceIp),
        Just(ConditionKey::RemoteIp),
        Just(ConditionKey::SourceNamespace),
        Just(ConditionKey::SourcePrincipal),
        Just(ConditionKey::DestinationPort),
        Just(ConditionKey::Invalid),
    ];
    let condition =
        (key, globs(), globs()).prop_map(|(key, values, not_values)| Condition { key, values, not_values });
    let rule = (vec(source, 0..2), vec(operation, 0..2), vec(condition, 0..2))
        .prop_map(|(from, to, when)| Rule { from, to, when });
    let action = prop_oneof![Just(Action::Allow), Just(Action::Deny), Just(Action::Audit)];
    (origin(), action, vec(rule, 0..3), any::<bool>()).prop_map(|(origin, action, rules, dry_run)| Policy {
        origin,
        action,
        rules,
        dry_run,
    })
}

fn inbound() -> impl Strategy<Value = Inbound> {
    let port = (any::<u16>(), protocol(), vec((host(), any::<u16>()), 0..3))
        .prop_map(|(port, protocol, names)| InboundPort { port, protocol, names });
    (text(), text(), pairs(), vec(port, 0..3), inbound_mtls(), of(probe()), pairs()).prop_map(
        |(namespace, group, labels, ports, mtls, probe, capture)| {
            let probe = probe.map(Arc::new);
            Inbound { namespace, group, labels, ports, mtls, probe, capture }
        },
    )
}

fn probe() -> impl Strategy<Value = ReadinessProbe> {
    let loopback = || of(prop_oneof![Just(IpAddr::from([127, 0, 0, 1])), Just(Ipv6Addr::LOCALHOST.into())]);
    let header = (text(), text()).prop_map(|(name, value)| ProbeHeader { name, value });
    let scheme = prop_oneof![Just(ProbeScheme::Http), Just(ProbeScheme::Https)];
    let get = (text(), 1..u16::MAX, scheme, loopback(), vec(header, 0..3)).prop_map(
        |(path, port, scheme, host, headers)| {
            ProbeAction::HttpGet(HttpGetProbe { path, port, scheme, host, headers })
        },
    );
    let action = prop_oneof![
        get,
        (1..u16::MAX, loopback())
            .prop_map(|(port, host)| ProbeAction::TcpSocket(TcpSocketProbe { port, host })),
        vec(text(), 1..4).prop_map(ProbeAction::Exec),
        (1..u16::MAX, text()).prop_map(|(port, service)| ProbeAction::Grpc(GrpcProbe { port, service })),
    ];
    let seconds = |from: u64| (from..10_000).prop_map(Duration::from_secs);
    (action, seconds(0), seconds(1), seconds(1), 1..99u32, 1..99u32).prop_map(
        |(action, initial_delay, timeout, period, success_threshold, failure_threshold)| ReadinessProbe {
            action,
            initial_delay,
            timeout,
            period,
            success_threshold,
            failure_threshold,
        },
    )
}

fn inbound_mtls() -> impl Strategy<Value = InboundMtls> {
    let mode = || prop_oneof![Just(MtlsMode::Strict), Just(MtlsMode::Permissive), Just(MtlsMode::Disable)];
    (mode(), btree_map(any::<u16>(), mode(), 0..3)).prop_map(|(mode, ports)| InboundMtls { mode, ports })
}

fn listener_tls() -> impl Strategy<Value = ListenerTls> {
    let mode = prop_oneof![Just(TlsMode::Terminate), Just(TlsMode::Passthrough)];
    let certificate = prop_oneof![
        (text(), text()).prop_map(|(namespace, name)| CertificateRef::Secret { namespace, name }),
        (text(), text()).prop_map(|(certificate, key)| CertificateRef::Files { certificate, key }),
    ];
    let client_mode = prop_oneof![
        Just(ClientMode::Required),
        Just(ClientMode::Optional),
        Just(ClientMode::InsecureFallback)
    ];
    let authority = prop_oneof![text().prop_map(CaBundle::Inline), text().prop_map(CaBundle::File)];
    let texts = || vec(text(), 0..2);
    let client = (client_mode, vec(authority, 0..2), texts(), texts(), texts()).prop_map(
        |(mode, authorities, subject_alt_names, certificate_hashes, public_key_hashes)| ClientValidation {
            mode,
            authorities,
            subject_alt_names,
            certificate_hashes,
            public_key_hashes,
        },
    );
    let version = || prop_oneof![Just(TlsVersion::V1_2), Just(TlsVersion::V1_3)];
    (mode, vec(certificate, 0..3), of(client), version(), version(), texts()).prop_map(
        |(mode, certificates, client, min, max, cipher_suites)| ListenerTls {
            mode,
            certificates,
            client,
            versions: TlsVersions { min, max },
            cipher_suites,
        },
    )
}

fn key_pair() -> impl Strategy<Value = KeyPair> {
    (text(), text(), text(), text()).prop_map(|(namespace, name, certificate, key)| KeyPair {
        namespace,
        name,
        certificate,
        key: SecretString::new(key.to_string()),
    })
}

fn client_traffic() -> impl Strategy<Value = ClientTraffic> {
    let proxy_protocol = (vec(cidr(), 0..3), any::<bool>())
        .prop_map(|(trusted_cidrs, optional)| ProxyProtocolIn { trusted_cidrs, optional });
    let header = (text(), vec(cidr(), 0..3), any::<bool>()).prop_map(|(name, trusted_cidrs, fail_closed)| {
        ClientIpDetection::CustomHeader(ClientAddressHeader { name, trusted_cidrs, fail_closed })
    });
    let detection = prop_oneof![
        any::<u32>().prop_map(ClientIpDetection::TrustedHops),
        vec(cidr(), 0..3).prop_map(ClientIpDetection::TrustedCidrs),
        header,
    ];
    let detail = prop_oneof![Just(ClientCertDetail::Chain), Just(ClientCertDetail::Uri)];
    let mode =
        prop_oneof![Just(ForwardClientCertMode::Sanitize), Just(ForwardClientCertMode::AlwaysForwardOnly)];
    let certificate =
        (mode, vec(detail, 0..3)).prop_map(|(mode, details)| ForwardClientCert { mode, details });
    let underscores = prop_oneof![Just(UnderscoresAction::Allow), Just(UnderscoresAction::RejectRequest)];
    let request_id = prop_oneof![Just(RequestIdAction::Preserve), Just(RequestIdAction::Disable)];
    (of(proxy_protocol), of(detection), of(certificate), of(underscores), of(request_id)).prop_map(
        |(proxy_protocol, client_ip_detection, forward_client_cert, with_underscores, request_id)| {
            ClientTraffic {
                proxy_protocol,
                client_ip_detection,
                forward_client_cert,
                with_underscores,
                request_id,
                tcp_idle_timeout: Some(Duration::from_millis(1500)),
                ..ClientTraffic::default()
            }
        },
    )
}

fn gateway() -> impl Strategy<Value = Gateway> {
    let protocol = prop_oneof![
        Just(ListenerProtocol::Http),
        Just(ListenerProtocol::Https),
        Just(ListenerProtocol::Tls),
        Just(ListenerProtocol::Tcp),
        Just(ListenerProtocol::Udp),
    ];
    let tls = of(listener_tls().prop_map(Arc::new));
    let client = of(client_traffic().prop_map(Arc::new));
    let listener = (text(), any::<u16>(), protocol, of(host_match()), of(any::<IpAddr>()), tls, client)
        .prop_map(|(name, port, protocol, host, address, tls, client)| GatewayListener {
            name,
            port,
            protocol,
            host,
            address,
            tls,
            client,
        });
    (text(), text(), vec(listener, 0..3)).prop_map(|(namespace, name, listeners)| Gateway {
        namespace,
        name,
        listeners,
    })
}

fn cluster() -> impl Strategy<Value = RemoteCluster> {
    let gateway = (any::<IpAddr>(), any::<u16>(), identity())
        .prop_map(|(address, port, identity)| RemoteGateway { address, port, identity });
    let export = (host(), vec(port(), 0..3), any::<u32>(), vec(identity(), 0..3))
        .prop_map(|(host, ports, weight, identities)| Export { host, ports, weight, identities });
    (text(), text(), locality(), vec(gateway, 0..3), vec(export, 0..3)).prop_map(
        |(cluster, network, locality, gateways, exports)| RemoteCluster {
            cluster,
            network,
            locality,
            gateways,
            exports,
        },
    )
}

fn backend_tls() -> impl Strategy<Value = BackendTls> {
    let authorities = prop_oneof![
        Just(Authorities::System),
        Just(Authorities::Unchecked),
        text().prop_map(Authorities::Pem),
        text().prop_map(Authorities::File),
    ];
    let name = prop_oneof![text().prop_map(SubjectAltName::Hostname), text().prop_map(SubjectAltName::Uri)];
    let files =
        (text(), text()).prop_map(|(certificate, private_key)| CertificateFiles { certificate, private_key });
    let tls = (of(text()), vec(name, 0..3), authorities, of(files)).prop_map(
        |(server_name, subject_alt_names, authorities, client_certificate)| {
            let tls = TlsOrigination { server_name, subject_alt_names, authorities, client_certificate };
            BackendTls::Originate(Box::new(tls))
        },
    );
    prop_oneof![Just(BackendTls::Disable), text().prop_map(BackendTls::Unusable), tls]
}

fn attached() -> impl Strategy<Value = AttachedPolicy> {
    let level = prop_oneof![Just(AttachLevel::Gateway), Just(AttachLevel::Rule), Just(AttachLevel::Backend)];
    let hash =
        text().prop_map(|http_header_name| LoadBalancer::ConsistentHash(ConsistentHash { http_header_name }));
    let turns = Just(LoadBalancer::Simple(SimpleLoadBalancer::RoundRobin));
    let load_balancer = of(prop_oneof![Just(LoadBalancer::default()), turns, hash]);
    let keepalive = (of(any::<u32>()), of(duration()), of(duration()))
        .prop_map(|(probes, time, interval)| TcpKeepaliveProbes { probes, time, interval });
    let pool = (of(duration()), of(keepalive), of(duration()), of(1u32..)).prop_map(
        |(time, tcp_keepalive, http_idle_timeout, requests)| ConnectionPool {
            connect_timeout: time,
            tcp_keepalive,
            tcp_idle_timeout: time,
            http_idle_timeout,
            max_requests_per_connection: requests.and_then(NonZeroU32::new),
            max_connection_duration: time,
        },
    );
    let pool = of(pool.prop_map(Arc::new));
    let says = (load_balancer, of(backend_tls()), btree_map(any::<u16>(), backend_tls(), 0..3), pool);
    (level, origin(), any::<u64>(), says).prop_map(
        |(level, origin, created_s, (load_balancer, tls, port_tls, connection_pool))| {
            let policy = TrafficPolicy { load_balancer, tls, port_tls, connection_pool }.into();
            AttachedPolicy { level, origin, created_s, policy }
        },
    )
}

pub(crate) fn resource() -> impl Strategy<Value = Resource> {
    let claims = (vec(external::address_claim(), 0..3), vec(external::name_claim(), 0..3));
    let names = (vec(text(), 0..3), vec(text(), 0..3), vec(host(), 0..3), vec(host(), 0..3), claims)
        .prop_map(|(suffixes, shared_suffixes, hosts, non_terminals, (addresses, claims))| Names {
            suffixes,
            shared_suffixes,
            hosts,
            non_terminals,
            addresses,
            claims,
        });
    let trust = vec(vec(any::<u8>(), 0..20), 0..3)
        .prop_map(|roots| TrustBundle { trust_domain: TrustDomain::parse("a.b").unwrap(), roots });
    prop_oneof![
        names.prop_map(Resource::Names),
        settings().prop_map(Resource::Settings),
        trust.prop_map(Resource::Trust),
        service().prop_map(Resource::Service),
        slice().prop_map(Resource::Slice),
        rule().prop_map(|rule| Resource::Rule(rule.into())),
        l4_rule().prop_map(|rule| Resource::L4Rule(rule.into())),
        attached().prop_map(Resource::TrafficPolicy),
        (any::<Ipv4Addr>(), host()).prop_map(|(ip, host)| Resource::Address(ip, host)),
        inbound().prop_map(Resource::Inbound),
        policy().prop_map(Resource::Policy),
        gateway().prop_map(Resource::Gateway),
        key_pair().prop_map(Resource::KeyPair),
        vec((host(), any::<u16>()), 0..3).prop_map(|hosts| Resource::Exports(Exports { hosts })),
        cluster().prop_map(Resource::Cluster),
    ]
}
