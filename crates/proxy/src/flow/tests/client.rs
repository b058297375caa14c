//! Whose word a gateway takes on who calls: headers of the PROXY protocol, of addresses, of certificates.

use super::bed::{Application, Proxy, SOON, fresh_ip, story};
use super::edge::{edge_resources, rule};
use super::policy::{on, policy};
use codec::{ProxiedAddresses, ProxyVersion, write_proxy_header};
use http::Response;
use identity::Identity;
use model::authz::{Action, Cidr, Rule, Source};
use model::client_traffic::{
    ClientAddressHeader, ClientIpDetection, ClientTraffic, ForwardClientCert, ForwardClientCertMode,
    ProxyProtocolIn, RequestIdAction, UnderscoresAction,
};
use model::{Reason, Resource, ResourceKey};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Who connects, in all of these.
const PEER: &str = "192.0.2.7";

fn blocks(text: &str) -> Vec<Cidr> {
    vec![Cidr::parse(text).unwrap()]
}

/// These resources, with this said of who calls the gateway's listeners.
pub(super) fn with_clients(
    resources: Vec<(ResourceKey, Resource)>,
    settings: &ClientTraffic,
) -> Vec<(ResourceKey, Resource)> {
    let said = Some(Arc::new(settings.clone()));
    let each = |(key, resource)| match resource {
        Resource::Gateway(mut gateway) => {
            for listener in &mut gateway.listeners {
                listener.client.clone_from(&said);
            }
            (key, Resource::Gateway(gateway))
        }
        other => (key, other),
    };
    resources.into_iter().map(each).collect()
}

/// A gateway before an application that answers with the headers it was sent, a line each.
fn edge(settings: &ClientTraffic) -> Proxy {
    let application = Application::start(fresh_ip(), |request| {
        let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            format!("{name}: {}\n", value.to_str().unwrap_or("?"))
        };
        let lines: String = request.headers().iter().map(line).collect();
        Response::new(codec::Body::full(lines))
    });
    let resources = edge_resources(vec![rule(0, "")], &[application.address]);
    Proxy::new("west", Identity::new(Vec::new()), with_clients(resources, settings))
}

/// All that is said to a caller who says this.
async fn said(proxy: &Proxy, bytes: &[u8]) -> String {
    let mut caller = proxy.enter_raw();
    caller.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    let _ = timeout(SOON, caller.read_to_end(&mut heard)).await.unwrap();
    String::from_utf8(heard).unwrap()
}

/// The values of a header in what an application says that it was sent.
fn values<'t>(heard: &'t str, name: &str) -> Vec<&'t str> {
    heard.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

/// A request with these header lines.
fn request(lines: &[&str]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n{lines}\r\n").into_bytes()
}

fn refused(proxy: &Proxy, reason: Reason) -> bool {
    let metrics = proxy.worker.shared.observe.render(0, 0);
    let name = format!("leno_refused_connections_total{{reason=\"{}\"}} ", reason.row().code);
    metrics.lines().find_map(|line| line.strip_prefix(&name)).is_some_and(|count| count != "0")
}

fn header(version: ProxyVersion, source: &str) -> Vec<u8> {
    let source: SocketAddr = source.parse().unwrap();
    let destination = SocketAddr::new(source.ip(), 80);
    write_proxy_header(version, ProxiedAddresses { source, destination })
}

#[test]
fn a_header_of_the_proxy_protocol_is_believed_of_those_who_are_trusted() {
    story(async {
        let proxied = |trusted: &str, optional: bool| ClientTraffic {
            proxy_protocol: Some(ProxyProtocolIn { trusted_cidrs: blocks(trusted), optional }),
            ..ClientTraffic::default()
        };
        let (v1, v2) =
            (header(ProxyVersion::V1, "203.0.113.9:999"), header(ProxyVersion::V2, "[2001:db8::9]:999"));
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
        const OURS: &str = "192.0.2.0/24";
        // What comes first, and either the caller as the application sees it, or why there is no answer.
        for (settings, first, expected) in [
            (proxied(OURS, false), &v1, Ok("203.0.113.9")),
            (proxied(OURS, false), &v2, Ok("2001:db8::9")),
            (proxied(OURS, false), &local, Ok(PEER)),
            (proxied(OURS, true), &v1, Ok("203.0.113.9")),
            (proxied(OURS, true), &Vec::new(), Ok(PEER)),
            (proxied(OURS, false), &Vec::new(), Err(Reason::ProxyHeaderInvalid)),
            (proxied(OURS, false), &b"PROXY TCP4 nobody\r\n".to_vec(), Err(Reason::ProxyHeaderInvalid)),
            (proxied("10.0.0.0/8", false), &v1, Err(Reason::ProxyHeaderUntrusted)),
            (proxied("10.0.0.0/8", false), &Vec::new(), Err(Reason::ProxyHeaderUntrusted)),
            (proxied("10.0.0.0/8", true), &v1, Err(Reason::ProxyHeaderUntrusted)),
            (proxied("10.0.0.0/8", true), &Vec::new(), Ok(PEER)),
        ] {
            let proxy = edge(&settings);
            let bytes = [&first[..], &request(&["x-forwarded-for: 6.6.6.6"])].concat();
            let heard = said(&proxy, &bytes).await;
            match expected {
                Ok(caller) => {
                    assert_eq!(values(&heard, "x-forwarded-for"), [caller], "{settings:?}: {heard}");
                    let logged = proxy.logged();
                    let address = logged[0]["downstream_remote_address"].as_str().unwrap().to_owned();
                    assert!(address.contains(caller), "{address}");
                }
                Err(reason) => {
                    assert_eq!(heard, "", "{settings:?}");
                    assert!(refused(&proxy, reason), "{settings:?} {reason:?}");
                }
            }
        }
    });
}

/// Policies, log and application see the same caller.
#[test]
fn callers_cannot_say_to_be_somebody_else() {
    story(async {
        let custom = |trusted: &str, fail_closed: bool| {
            Some(ClientIpDetection::CustomHeader(ClientAddressHeader {
                name: "true-client-ip".into(),
                trusted_cidrs: blocks(trusted),
                fail_closed,
            }))
        };
        let hops = |count| Some(ClientIpDetection::TrustedHops(count));
        let cidrs = |trusted: &str| Some(ClientIpDetection::TrustedCidrs(blocks(trusted)));
        const OURS: &str = "192.0.2.0/24";
        const OTHERS: &str = "10.0.0.0/8";
        const CLIENT: &str = "203.0.113.9";
        // What is said of callers, what one sends, whom it is taken for (none: 403), and `x-forwarded-for` as sent on.
        for (detection, lines, expected) in [
            (None, &["x-forwarded-for: 203.0.113.9"][..], Some((PEER, PEER))),
            (None, &["x-envoy-external-address: 203.0.113.9", "x-real-ip: 203.0.113.9"], Some((PEER, PEER))),
            (None, &["x_forwarded_for: 203.0.113.9", "x-forwarded-host: evil"], Some((PEER, PEER))),
            (
                hops(1),
                &["x-forwarded-for: 6.6.6.6, 203.0.113.9"],
                Some((CLIENT, "6.6.6.6, 203.0.113.9, 192.0.2.7")),
            ),
            (hops(2), &["x-forwarded-for: 203.0.113.9"], Some((PEER, "203.0.113.9, 192.0.2.7"))),
            (
                cidrs(OURS),
                &["x-forwarded-for: 6.6.6.6, 203.0.113.9"],
                Some((CLIENT, "6.6.6.6, 203.0.113.9, 192.0.2.7")),
            ),
            (cidrs(OTHERS), &["x-forwarded-for: 203.0.113.9"], Some((PEER, PEER))),
            (
                custom(OURS, true),
                &["true-client-ip: 203.0.113.9", "x-forwarded-for: 6.6.6.6"],
                Some((CLIENT, CLIENT)),
            ),
            (
                custom(OURS, true),
                &["true-client-ip: 203.0.113.9", "true_client_ip: 6.6.6.6"],
                Some((CLIENT, CLIENT)),
            ),
            (
                custom(OURS, false),
                &["true-client-ip: 203.0.113.9", "true-client-ip: 6.6.6.6"],
                Some((PEER, PEER)),
            ),
            (custom(OURS, false), &["true-client-ip: nobody"], Some((PEER, PEER))),
            (custom(OURS, true), &["true-client-ip: nobody"], None),
            (custom(OURS, true), &["x-forwarded-for: 203.0.113.9"], None),
            (custom(OTHERS, true), &["true-client-ip: 203.0.113.9"], Some((PEER, PEER))),
            (custom(OTHERS, true), &["true_client_ip: 203.0.113.9"], Some((PEER, PEER))),
        ] {
            let settings =
                ClientTraffic { client_ip_detection: detection.clone(), ..ClientTraffic::default() };
            let proxy = edge(&settings);
            let heard = said(&proxy, &request(lines)).await;
            let Some((client, forwarded_for)) = expected else {
                assert!(heard.starts_with("HTTP/1.1 403 "), "{detection:?} {lines:?}: {heard}");
                let details = &proxy.logged()[0]["response_code_details"];
                assert_eq!(details, Reason::ClientAddressUnknown.row().code);
                continue;
            };
            let told = format!("{detection:?} {lines:?}: {heard}");
            assert_eq!(values(&heard, "x-forwarded-for"), [forwarded_for], "{told}");
            let external = if detection.is_some() { vec![client] } else { Vec::new() };
            assert_eq!(values(&heard, "x-envoy-external-address"), external, "{told}");
            let custom = if forwarded_for == CLIENT { vec![CLIENT] } else { Vec::new() };
            assert_eq!(values(&heard, "true-client-ip"), custom, "{told}");
            for name in ["true_client_ip", "x_forwarded_for", "x-real-ip", "x-forwarded-host"] {
                assert_eq!(values(&heard, name), [] as [&str; 0], "{told}");
            }
            // Who is taken for the client is the one that policies deny, and the one in the log.
            for (denied, status) in [(client, "403"), ("198.51.100.1", "200")] {
                let proxy = edge(&settings);
                let from = Source { remote_ip_blocks: blocks(denied), ..Source::default() };
                let rules = vec![Rule { from: vec![from], ..Rule::default() }];
                proxy.apply(vec![on("edge", policy(Action::Deny, rules))]);
                let heard = said(&proxy, &request(lines)).await;
                assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{told} {denied}: {heard}");
                let address = proxy.logged()[0]["downstream_remote_address"].as_str().unwrap().to_owned();
                assert!(address.starts_with(client), "{told} {address}");
            }
        }
    });
}

#[test]
fn who_is_trusted_says_by_which_host_and_scheme_it_was_called() {
    story(async {
        let settings = ClientTraffic {
            client_ip_detection: Some(ClientIpDetection::TrustedCidrs(blocks("192.0.2.0/24"))),
            ..ClientTraffic::default()
        };
        let lines = [
            "x-forwarded-for: 203.0.113.9",
            "x-forwarded-proto: https",
            "x-forwarded-host: www.example",
            "x-forwarded-port: 443",
        ];
        let heard = said(&edge(&settings), &request(&lines)).await;
        assert_eq!(values(&heard, "x-forwarded-proto"), ["https"]);
        assert_eq!(values(&heard, "x-forwarded-host"), ["www.example"]);
        assert_eq!(values(&heard, "x-forwarded-port"), ["443"]);
        let heard = said(&edge(&ClientTraffic::default()), &request(&lines)).await;
        assert_eq!(values(&heard, "x-forwarded-proto"), ["http"]);
        assert_eq!(values(&heard, "x-forwarded-host"), [] as [&str; 0]);
        assert_eq!(values(&heard, "x-forwarded-port"), [] as [&str; 0]);
    });
}

#[test]
fn names_with_underscores_pass_or_not_as_is_said() {
    story(async {
        let lines = ["x_a: 1", "x-b: 2"];
        for (action, status, expected) in [
            (None, "200", &["1"][..]),
            (Some(UnderscoresAction::Allow), "200", &["1"]),
            (Some(UnderscoresAction::DropHeader), "200", &[]),
            (Some(UnderscoresAction::RejectRequest), "400", &[]),
        ] {
            let proxy = edge(&ClientTraffic { with_underscores: action, ..ClientTraffic::default() });
            let heard = said(&proxy, &request(&lines)).await;
            assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{action:?}: {heard}");
            assert_eq!(values(&heard, "x_a"), expected, "{action:?}");
            let details = proxy.logged()[0]["response_code_details"].clone();
            if status == "400" {
                assert_eq!(details, Reason::UnexpectedUnderscore.row().code);
            } else {
                assert_eq!(values(&heard, "x-b"), ["2"]);
            }
        }
    });
}

#[test]
fn ids_of_requests_are_kept_and_made_as_is_said() {
    story(async {
        use RequestIdAction::{Disable, Generate, Preserve, PreserveOrGenerate};
        const MINE: &str = "mine";
        // `Some("")`: one that is not the caller's.
        for (action, with, without) in [
            (None, Some(MINE), Some("")),
            (Some(PreserveOrGenerate), Some(MINE), Some("")),
            (Some(Preserve), Some(MINE), None),
            (Some(Generate), Some(""), Some("")),
            (Some(Disable), None, None),
        ] {
            for (lines, expected) in [(&["x-request-id: mine"][..], with), (&[], without)] {
                let proxy = edge(&ClientTraffic { request_id: action, ..ClientTraffic::default() });
                let heard = said(&proxy, &request(lines)).await;
                let ids = values(&heard, "x-request-id");
                match expected {
                    None => assert_eq!(ids, [] as [&str; 0], "{action:?}"),
                    Some("") => assert!(ids.len() == 1 && ids[0].len() == 36, "{action:?} {ids:?}"),
                    Some(kept) => assert_eq!(ids, [kept], "{action:?}"),
                }
            }
        }
    });
}

/// Of callers without a certificate.
#[test]
fn what_an_outsider_says_of_certificates_reaches_no_application() {
    story(async {
        use ForwardClientCertMode::{AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet};
        let line = "x-forwarded-client-cert: Hash=00;URI=spiffe://evil";
        let lines = [line, "x_forwarded_client_cert: Hash=00"];
        let modes = [None, Some(Sanitize), Some(ForwardOnly), Some(AppendForward), Some(SanitizeSet)];
        for mode in modes.into_iter().chain([Some(AlwaysForwardOnly)]) {
            let forward = mode.map(|mode| ForwardClientCert { mode, details: Vec::new() });
            let proxy = edge(&ClientTraffic { forward_client_cert: forward, ..ClientTraffic::default() });
            let heard = said(&proxy, &request(&lines)).await;
            let passes = mode == Some(AlwaysForwardOnly);
            assert_eq!(heard.contains("evil"), passes, "{mode:?}: {heard}");
            assert!(!heard.contains("x_forwarded"), "{mode:?}: {heard}");
        }
    });
}
