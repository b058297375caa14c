//! Every reason can be reached: those that no other story is about, and the list of who reaches which.

use super::bed::{Authority, Proxy, endpoints, fresh_ip, get, plain, service, story};
use super::edge::{edge, rule};
use super::mesh::{Cluster, client};
use crate::accept::listen;
use crate::failure::{Failure, guard};
use crate::snapshot::SnapshotChange;
use crate::testing::host;
use codec::{Body, ClientOptions};
use identity::Identity;
use model::route::{RetryPolicy, RouteRule};
use model::service::Protocol;
use model::{Reason, Resource, ResourceKey, Subscription};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the gateway logs of one request with these lines.
async fn logged(proxy: &Proxy, target: &str, lines: &str) -> String {
    let mut caller = proxy.enter_raw();
    let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n");
    caller.write_all(request.as_bytes()).await.unwrap();
    let _ = caller.read_to_end(&mut Vec::new()).await;
    proxy.logged()[0]["response_code_details"].as_str().unwrap().to_owned()
}

/// Accepted by the kernel, never answered.
fn mute() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind((fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn to(backend: Option<&str>) -> RouteRule {
    let mut rule = rule(0, "");
    rule.backends[0].host = backend.map(host);
    rule
}

#[test]
fn what_the_edge_says_of_routes_and_backends() {
    story(async {
        assert_eq!(logged(&edge(Vec::new(), &[]), "/", "").await, "route_not_found");
        assert_eq!(logged(&edge(vec![to(None)], &[]), "/", "").await, "no_backend");
        let gone = edge(vec![to(Some("gone.mesh.internal"))], &[]);
        let absent = vec![Subscription::Host(host("gone.mesh.internal"))];
        gone.worker.shared.store.apply(SnapshotChange { absent, ..SnapshotChange::default() });
        assert_eq!(logged(&gone, "/", "").await, "cluster_not_found");
        // Who would look it up has stopped.
        assert_eq!(logged(&edge(vec![to(Some("new.mesh.internal"))], &[]), "/", "").await, "draining");
        let bare = Proxy::new("west", Identity::new(Vec::new()), Vec::new());
        assert_eq!(logged(&bare, "/", "").await, "configuration_unavailable");
        assert_eq!(logged(&edge(vec![rule(0, "")], &[]), "/", "").await, "no_healthy_upstream");
    });
}

#[test]
fn what_the_edge_says_of_requests() {
    story(async {
        let edge = || edge(vec![rule(0, "")], &[]);
        assert_eq!(logged(&edge(), "/%zz", "").await, "path_normalization_failed");
        assert_eq!(logged(&edge(), "/", "expect: more\r\n").await, "expectation_unknown");
        let proxy = edge();
        let mut caller = proxy.enter_raw();
        let many = "x: y\r\n".repeat(101);
        caller.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n").as_bytes()).await.unwrap();
        let _ = caller.read_to_end(&mut Vec::new()).await;
        drop(caller);
        super::bed::wait_until("it is counted", || refused(&proxy, "request_headers_too_large")).await;
    });
}

fn refused(proxy: &Proxy, code: &str) -> bool {
    let text = proxy.worker.shared.observe.render(0, 0);
    text.contains(&format!("leno_refused_connections_total{{reason=\"{code}\"}} 1"))
}

/// In a time of its own, which passes as soon as nobody has anything to do.
#[test]
fn a_head_that_does_not_end_is_counted() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), async {
        let proxy = edge(vec![rule(0, "")], &[]);
        let mut caller = proxy.enter_raw();
        caller.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        let _ = caller.read_to_end(&mut Vec::new()).await;
        assert!(refused(&proxy, "request_header_timeout"));
        assert_eq!(Reason::HeaderTimeout.row().flag, "", "DT is for the longest life of a connection");
    });
}

#[test]
fn what_is_said_of_upstreams() {
    story(async {
        let mut timed = rule(0, "");
        timed.request_timeout = Some(Duration::from_millis(50));
        let (_held, backend) = mute();
        assert_eq!(logged(&edge(vec![timed], &[backend]), "/", "").await, "response_timeout");

        let mut once = rule(0, "");
        once.retry = Some(Box::new(RetryPolicy {
            attempts: 0,
            codes: Vec::new(),
            backoff: Duration::ZERO,
            ..RetryPolicy::default()
        }));
        let refuses = edge(vec![once], &[]);
        refuses.apply(vec![service(Protocol::Http2), endpoints(vec![plain(refusing())])]);
        assert_eq!(logged(&refuses, "/", "").await, "upstream_refused_stream");

        let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
        assert_eq!(crate::upstream::connect::connect_reason(&late), Reason::ConnectTimeout);
    });
}

/// Speaks HTTP/2 and refuses the first stream.
fn refusing() -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        let mut heard = Vec::new();
        while !heard.windows(6).any(|at| at == [1, 5, 0, 0, 0, 1]) {
            let mut some = [0; 1024];
            let len = stream.read(&mut some).await.unwrap();
            heard.extend_from_slice(&some[..len]);
        }
        let _ = stream.write_all(&[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7]).await;
        let _ = stream.read_to_end(&mut heard).await;
    });
    address
}

#[test]
fn a_gateway_that_says_no_is_named() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let nothing = model::listener::Exports { hosts: Vec::new() };
        east.gateway.apply(vec![(ResourceKey::Exports, Resource::Exports(nothing))]);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        assert_eq!(proxy.call().await.get("/").await.status(), 503);
        assert_eq!(proxy.logged()[0]["response_code_details"], "gateway_refused");
    });
}

#[test]
fn a_caller_that_gives_up_is_named() {
    story(async {
        let (_held, backend) = mute();
        let proxy = edge(vec![rule(0, "")], &[backend]);
        let (sender, connection) =
            codec::http2::connect(proxy.enter_raw(), &ClientOptions::default()).await.unwrap();
        tokio::task::spawn_local(connection);
        let asked = tokio::task::spawn_local(async move { sender.send(get("/")).await.map(|_| ()) });
        let entry = proxy.entry();
        super::bed::wait_until("it is under way", || entry.states.active(0) == 1).await;
        asked.abort();
        super::bed::wait_until("it is given up", || entry.states.active(0) == 0).await;
        assert_eq!(proxy.logged()[0]["response_code_details"], "downstream_remote_disconnect");
    });
}

#[test]
fn a_mesh_address_that_nobody_owns_is_named() {
    story(async {
        let proxy = edge(Vec::new(), &[]);
        let ip = std::net::Ipv4Addr::new(240, 0, 0, 9);
        let absent = vec![Subscription::Address(ip)];
        proxy.worker.shared.store.apply(SnapshotChange { absent, ..SnapshotChange::default() });
        let outbound = crate::flow::classify_outbound(&proxy.worker, SocketAddr::new(ip.into(), 80)).await;
        assert_eq!(outbound.err(), Some(Reason::UnknownAddress));
    });
}

#[test]
#[allow(clippy::panic, reason = "a test may panic")]
fn a_defect_of_ours_is_answered_and_says_so() {
    story(async {
        let story = async {
            tokio::task::yield_now().await;
            if Body::empty().is_end_stream() {
                panic!("a defect");
            }
            Ok::<(), Failure>(())
        };
        let failure = guard(std::pin::pin!(story)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Internal);
        assert_eq!((failure.reason.row().code, failure.reason.row().status), ("internal_error", 500));
    });
}

/// Where in the tree each is reached: file and test. A new reason does not compile without its line.
fn reached_by(reason: Reason) -> (&'static str, &'static str) {
    const HERE: &str = "crates/proxy/src/flow/tests/reasons.rs";
    const MESH: &str = "crates/proxy/src/flow/tests/mesh.rs";
    const LIMITS: &str = "crates/proxy/src/flow/tests/limits.rs";
    const ANSWERS: &str = "crates/proxy/src/flow/tests/answers.rs";
    const RETRIES: &str = "crates/proxy/src/flow/tests/retries.rs";
    const POLICY: &str = "crates/proxy/src/flow/tests/policy.rs";
    const EDGE_STANDING: &str = "crates/proxy/src/flow/tests/edge_standing.rs";
    const EDGE_TLS: &str = "crates/proxy/src/flow/tests/edge_tls.rs";
    const CLIENT: &str = "crates/proxy/src/flow/tests/client.rs";
    const IDENTITY: &str = "crates/identity/src/tests.rs";
    const WIRE: &str = "bin/leno/tests/it/wire.rs";
    const REFUSALS: &str = "t06_without_a_good_certificate_nobody_gets_in_and_the_refusal_says_why";
    const ROUTES: &str = "what_the_edge_says_of_routes_and_backends";
    const REQUESTS: &str = "what_the_edge_says_of_requests";
    const UPSTREAMS: &str = "what_is_said_of_upstreams";
    match reason {
        Reason::NoRoute
        | Reason::NoBackend
        | Reason::UnknownHost
        | Reason::Draining
        | Reason::NotSynced
        | Reason::NoEndpoint => (HERE, ROUTES),
        Reason::BadPath | Reason::ExpectationFailed | Reason::HeadersTooLarge => (HERE, REQUESTS),
        Reason::RequestTimeout | Reason::Refused | Reason::ConnectTimeout => (HERE, UPSTREAMS),
        Reason::HeaderTimeout => (HERE, "a_head_that_does_not_end_is_counted"),
        Reason::GatewayRefused => (HERE, "a_gateway_that_says_no_is_named"),
        Reason::DownstreamReset => (HERE, "a_caller_that_gives_up_is_named"),
        Reason::UnknownAddress => (HERE, "a_mesh_address_that_nobody_owns_is_named"),
        Reason::Internal => (HERE, "a_defect_of_ours_is_answered_and_says_so"),
        Reason::ConnectFailed => (MESH, "a_refused_stream_is_sent_elsewhere_whatever_the_method"),
        Reason::NotExported => (MESH, "what_is_not_exported_is_refused"),
        Reason::TlsFailed => (MESH, "an_impostor_behind_the_gateway_is_not_believed"),
        Reason::MetadataBlocked | Reason::EgressDenied => (
            "crates/proxy/src/flow/tests/egress.rs",
            "what_may_leave_is_what_is_described_and_proved_by_name",
        ),
        Reason::BackendTlsUnusable => (
            "crates/proxy/src/flow/tests/backend_tls.rs",
            "nothing_is_sent_where_the_tls_that_is_asked_for_cannot_be_used",
        ),
        Reason::PeerUntrusted | Reason::PeerHandshake => {
            (MESH, "strangers_are_refused_and_counted_by_reason")
        }
        Reason::NotMyDestination => (MESH, "a_loopback_destination_is_never_ours"),
        Reason::TooManyConnections => (LIMITS, "more_callers_than_seats_are_refused_and_counted"),
        Reason::BadRequest | Reason::BudgetExhausted => {
            (LIMITS, "floods_and_broken_frames_are_counted_by_reason")
        }
        Reason::FilterFailed => (
            "crates/proxy/src/flow/tests/filters.rs",
            "a_filter_asks_a_service_before_policies_are_asked_and_sees_the_response",
        ),
        Reason::AmbiguousPath => (
            "crates/proxy/src/flow/tests/edge.rs",
            "a_path_goes_on_as_it_came_unless_rules_read_it_differently",
        ),
        Reason::StreamIdle => (LIMITS, "responses_that_nobody_reads_are_given_up_by_name"),
        Reason::UpgradeFailed => (
            "crates/proxy/src/request/tests.rs",
            "websocket_is_refused_with_a_reason_and_other_upgrades_are_ignored",
        ),
        Reason::UpgradeIgnored => {
            ("crates/proxy/src/flow/tests/upgrade.rs", "a_success_of_another_kind_opens_no_tunnel")
        }
        Reason::RequestBodyTimeout => (LIMITS, "a_caller_who_stops_in_the_middle_of_a_body_gets_408"),
        Reason::UpstreamProtocol => (ANSWERS, "an_http2_answer_shorter_than_its_length_is_no_answer"),
        Reason::ResponseReset => (ANSWERS, "an_answer_that_breaks_off_after_its_start_is_seen_to_be_broken"),
        Reason::ResponseHeadersTooLarge => (ANSWERS, "a_head_over_our_limit_is_called_that"),
        Reason::AttemptTimeout => (ANSWERS, "the_timeout_of_an_attempt_lasts_to_the_end_of_its_response"),
        Reason::UpstreamReset => (RETRIES, "a_service_that_fails_gets_little_more_than_its_load"),
        Reason::RetryBudgetExhausted => (RETRIES, "a_service_that_fails_gets_little_more_than_its_load"),
        Reason::RetriesExhausted => {
            (RETRIES, "an_answer_that_is_asked_for_once_more_says_when_that_was_the_last_time")
        }
        Reason::UpstreamSilent => {
            ("crates/proxy/src/flow/tests/silence.rs", "who_waits_for_a_frozen_proxy_is_answered_by_another")
        }
        Reason::UpstreamOverflow => {
            ("crates/proxy/src/flow/tests/streams.rs", "where_all_streams_are_in_use_the_failure_has_a_name")
        }
        Reason::DeniedUpstream => {
            ("crates/proxy/src/flow/tests/upstream.rs", "a_denied_tunnel_is_nothing_against_its_endpoint")
        }
        Reason::Denied => (POLICY, "what_comes_in_at_a_gateway_is_judged_by_its_policies"),
        Reason::Plaintext | Reason::NoPeerCertificate => (WIRE, REFUSALS),
        Reason::FaultInjected | Reason::DelayInjected => {
            ("crates/proxy/src/flow/tests/rules.rs", "faults_are_injected_and_told_by_their_flags")
        }
        Reason::MtlsDisabled => (
            "crates/proxy/src/flow/tests/plaintext.rs",
            "each_mode_serves_whom_its_name_says_and_tells_the_others_why_not",
        ),
        Reason::Misdirected => (EDGE_TLS, "a_request_for_another_listeners_host_is_misdirected"),
        Reason::TlsOutdated => (EDGE_STANDING, "plaintext_is_not_served_where_tls_is_spoken_by_now"),
        Reason::ServerNameUnknown => (EDGE_TLS, "the_server_name_chooses_listener_and_certificate"),
        Reason::ProxyHeaderInvalid | Reason::ProxyHeaderUntrusted => {
            (CLIENT, "a_header_of_the_proxy_protocol_is_believed_of_those_who_are_trusted")
        }
        Reason::RequestReceivedTimeout => (
            "crates/proxy/src/flow/tests/client_times.rs",
            "a_request_that_does_not_come_in_time_is_answered_with_408",
        ),
        Reason::ClientAddressUnknown => (CLIENT, "callers_cannot_say_to_be_somebody_else"),
        Reason::UnexpectedUnderscore => (CLIENT, "names_with_underscores_pass_or_not_as_is_said"),
        Reason::NoServerCertificate => {
            (EDGE_TLS, "without_a_certificate_nobody_is_served_and_a_new_one_heals_it")
        }
        Reason::GrpcTimeout => (
            "crates/proxy/src/flow/tests/grpc.rs",
            "a_call_ends_when_the_time_is_over_that_its_caller_gave_it",
        ),
        Reason::PeerNotYetValid => (IDENTITY, "a_leaf_from_the_future_is_refused"),
        Reason::PeerExpired => (IDENTITY, "an_expired_leaf_is_refused_as_such"),
        Reason::PeerWrongDomain => (IDENTITY, "a_trust_domain_without_a_bundle_is_refused_as_such"),
    }
}

#[test]
fn every_reason_is_reached_by_a_test() {
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    for reason in Reason::ALL {
        let (file, test) = reached_by(*reason);
        let text = std::fs::read_to_string(format!("{top}{file}")).unwrap();
        let (code, name) = (format!("\"{}\"", reason.row().code), format!("{reason:?}"));
        assert!(text.contains(&format!("fn {test}")), "{reason:?}: {file} has no {test}");
        assert!(text.contains(&code) || text.contains(&name), "{reason:?}: {file} does not name it");
    }
}
