//! What a listener asks of TLS after its callers have come: those who have not shown it go, the others stay.

use super::bed::{Application, Proxy, SOON, endpoints, fresh_ip, plain, story, story_within, wait_until};
use super::edge_tls::{
    Caller, Stream, ask, echoes, edge_by, gateway, key_pair, l4_rule, listener, terminate, tls_listener,
};
use super::long::Hours;
use crate::edge_tls::tests::{EdgeAuthority, PemPair};
use http::{Request, StatusCode};
use model::listener::{GatewayListener, ListenerProtocol};
use model::listener_tls::{CaBundle, ClientMode, ClientValidation, ListenerTls, TlsVersion, TlsVersions};
use rustls::SupportedProtocolVersion;
use rustls::version::TLS12;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

const ONLY_12: &[&SupportedProtocolVersion] = &[&TLS12];
const NAME: &str = "a.example";

fn asks(mode: ClientMode, authorities: &[&EdgeAuthority]) -> ListenerTls {
    let authorities = authorities.iter().map(|known| CaBundle::Inline(known.pem().as_str().into()));
    let client = ClientValidation { mode, authorities: authorities.collect(), ..ClientValidation::default() };
    ListenerTls { client: Some(client), ..terminate(&["s"]) }
}

fn start(tls: ListenerTls, web: &PemPair) -> Proxy {
    edge_by(Arc::new(Hours::default()), vec![listener("a", None, tls)], &[("s", web)])
}

/// Whether a connection is over: what is asked on it is not served, and it is closed.
async fn is_over(stream: &mut Stream) -> bool {
    if !matches!(ask(stream, NAME).await, None | Some(421)) {
        return false;
    }
    let mut rest = Vec::new();
    // Closed, in whatever way.
    let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap();
    true
}

#[test]
fn who_has_not_shown_what_is_asked_for_later_must_come_again() {
    story(async {
        let (web, staff, other) =
            (EdgeAuthority::new("web"), EdgeAuthority::new("staff"), EdgeAuthority::new("other"));
        let (pair, known) = (web.server(&[NAME]), staff.client(&["spiffe://staff.example/ns/a/sa/known"]));
        let only_13 = TlsVersions { min: TlsVersion::V1_3, max: TlsVersion::V1_3 };
        let suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
        let nobody = Caller::new(&web);
        let old = Caller { versions: ONLY_12, ..Caller::new(&web) };
        let shows = Caller { shows: Some(&known), ..Caller::new(&web) };
        let required = ClientMode::Required;
        for (what, caller, before, after, stays) in [
            ("a certificate", &nobody, terminate(&["s"]), asks(required, &[&staff]), false),
            (
                "a certificate, if any",
                &nobody,
                terminate(&["s"]),
                asks(ClientMode::Optional, &[&staff]),
                true,
            ),
            ("another authority", &shows, asks(required, &[&staff]), asks(required, &[&other]), false),
            (
                "one authority more",
                &shows,
                asks(required, &[&staff]),
                asks(required, &[&staff, &other]),
                true,
            ),
            ("no certificate", &shows, asks(required, &[&staff]), terminate(&["s"]), false),
            (
                "TLS 1.3",
                &old,
                terminate(&["s"]),
                ListenerTls { versions: only_13, ..terminate(&["s"]) },
                false,
            ),
            (
                "TLS 1.3 of who speaks it",
                &nobody,
                terminate(&["s"]),
                ListenerTls { versions: only_13, ..terminate(&["s"]) },
                true,
            ),
            (
                "a cipher suite",
                &old,
                terminate(&["s"]),
                ListenerTls { cipher_suites: vec![suite.into()], ..terminate(&["s"]) },
                false,
            ),
            ("other certificates of ours", &nobody, terminate(&["s"]), terminate(&["t", "s"]), true),
        ] {
            let proxy = start(before, &pair);
            let mut kept = caller.connect(&proxy, NAME).await.unwrap();
            assert_eq!(ask(&mut kept, NAME).await, Some(200), "{what}");
            proxy.apply(vec![gateway(vec![listener("a", None, after)])]);
            match stays {
                true => assert_eq!(ask(&mut kept, NAME).await, Some(200), "{what}"),
                false => assert!(is_over(&mut kept).await, "{what}"),
            }
        }
        // A certificate of ours that is renewed concerns nobody.
        let proxy = start(asks(required, &[&staff]), &pair);
        let mut kept = shows.connect(&proxy, NAME).await.unwrap();
        proxy.apply(vec![key_pair("s", &web.server(&[NAME]))]);
        assert_eq!(ask(&mut kept, NAME).await, Some(200));
    });
}

#[test]
fn over_http2_a_new_connection_is_asked_for() {
    story(async {
        let (web, staff) = (EdgeAuthority::new("web"), EdgeAuthority::new("staff"));
        let proxy = start(terminate(&["s"]), &web.server(&[NAME]));
        let caller = Caller { alpn: &[b"h2"], ..Caller::new(&web) };
        let stream = caller.connect(&proxy, NAME).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        let request = || Request::get(format!("https://{NAME}/")).body(()).unwrap();
        let (response, _) = sender.send_request(request(), true).unwrap();
        assert_eq!(timeout(SOON, response).await.unwrap().unwrap().status(), StatusCode::OK);
        proxy.apply(vec![gateway(vec![listener("a", None, asks(ClientMode::Required, &[&staff]))])]);
        // It may be told before it asks again, and never gets anything but 421.
        if let Ok((response, _)) = sender.send_request(request(), true)
            && let Ok(answer) = timeout(SOON, response).await.unwrap()
        {
            assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
        }
        timeout(SOON, connection).await.unwrap().unwrap().unwrap();
    });
}

#[test]
fn a_tunnel_is_cut() {
    story(async {
        let (web, staff) = (EdgeAuthority::new("web"), EdgeAuthority::new("staff"));
        let pair = web.server(&["ends.example"]);
        let proxy = edge_by(
            Arc::new(Hours::default()),
            vec![tls_listener("ends", terminate(&["s"]))],
            &[("s", &pair)],
        );
        proxy.apply(vec![
            l4_rule("ends", &["ends.example"]),
            endpoints(vec![plain(Application::echo(fresh_ip()))]),
        ]);
        let mut kept = Caller::new(&web).connect(&proxy, "ends.example").await.unwrap();
        assert!(echoes(&mut kept).await);
        // Whether the listener has the same name or another one.
        let asked = GatewayListener {
            name: "renamed".into(),
            ..tls_listener("ends", asks(ClientMode::Required, &[&staff]))
        };
        proxy.apply(vec![gateway(vec![asked])]);
        let mut rest = Vec::new();
        let _ = timeout(SOON, kept.read_to_end(&mut rest)).await.unwrap();
        wait_until("it is logged", || !proxy.logged().is_empty()).await;
        assert_eq!(proxy.logged()[0]["response_code_details"], "tls_requirements_changed");
    });
}

#[test]
fn plaintext_is_not_served_where_tls_is_spoken_by_now() {
    story(async {
        let web = EdgeAuthority::new("web");
        let open = GatewayListener {
            protocol: ListenerProtocol::Http,
            tls: None,
            ..listener("a", None, terminate(&["s"]))
        };
        let proxy = edge_by(Arc::new(Hours::default()), vec![open], &[("s", &web.server(&[NAME]))]);
        let mut kept = proxy.enter().await;
        assert_eq!(kept.get("/").await.status(), 200);
        proxy.apply(vec![gateway(vec![listener("a", None, terminate(&["s"]))])]);
        let refused = kept.get("/").await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["connection"]),
            (421, &"close".parse().unwrap())
        );
        assert_eq!(proxy.logged()[1]["response_code_details"], "tls_requirements_changed");
    });
}

#[test]
fn a_client_certificate_counts_until_it_ends_and_no_longer() {
    const MINUTE: Duration = Duration::from_secs(60);
    story_within(60 * MINUTE, async {
        let (web, staff, hours) = (EdgeAuthority::new("web"), EdgeAuthority::new("staff"), Hours::default());
        let pair = web.server(&[NAME, "ends.example"]);
        let short = staff.client_for(10 * MINUTE, &["spiffe://staff.example/ns/a/sa/known"]);
        let listeners = vec![
            listener("a", None, asks(ClientMode::Optional, &[&staff])),
            tls_listener("ends", asks(ClientMode::Required, &[&staff])),
        ];
        let proxy = edge_by(Arc::new(hours.clone()), listeners, &[("s", &pair)]);
        let echo = plain(Application::echo(fresh_ip()));
        let caller = Caller { shows: Some(&short), ..Caller::new(&web) };
        let mut kept = caller.connect(&proxy, NAME).await.unwrap();
        let mut without = Caller::new(&web).connect(&proxy, NAME).await.unwrap();
        for stream in [&mut kept, &mut without] {
            assert_eq!(ask(stream, NAME).await, Some(200));
        }
        hours.pass(5 * MINUTE).await;
        assert_eq!(ask(&mut kept, NAME).await, Some(200));
        assert_eq!(ask(&mut without, NAME).await, Some(200));
        proxy.apply(vec![l4_rule("ends", &["ends.example"]), endpoints(vec![echo])]);
        let mut tunnel = caller.connect(&proxy, "ends.example").await.unwrap();
        assert!(echoes(&mut tunnel).await);
        hours.pass(6 * MINUTE).await;
        assert!(is_over(&mut kept).await);
        // Who showed none is asked for none.
        proxy.apply(vec![endpoints(vec![plain(Application::named(fresh_ip(), "shop").address)])]);
        assert_eq!(ask(&mut without, NAME).await, Some(200));
        let _ = timeout(SOON, tunnel.read_to_end(&mut Vec::new())).await.unwrap();
        wait_until("it is logged", || {
            proxy.logged().iter().any(|line| line["response_code_details"] == "tls_requirements_changed")
        })
        .await;
    });
}

#[test]
fn an_authority_that_is_taken_out_of_a_file_lets_nobody_stay() {
    story(async {
        let (web, staff, other) =
            (EdgeAuthority::new("web"), EdgeAuthority::new("staff"), EdgeAuthority::new("other"));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.crt");
        let put = |pem: String| {
            std::fs::write(directory.path().join("aside"), pem).unwrap();
            std::fs::rename(directory.path().join("aside"), &file).unwrap();
        };
        put(format!("{}{}", staff.pem(), other.pem()));
        let path = |path: &Path| CaBundle::File(path.to_str().unwrap().into());
        let client = ClientValidation { authorities: vec![path(&file)], ..ClientValidation::default() };
        let proxy = start(ListenerTls { client: Some(client), ..terminate(&["s"]) }, &web.server(&[NAME]));
        let (known, stranger) =
            (staff.client(&["spiffe://x.example/a"]), other.client(&["spiffe://x.example/b"]));
        let connect = async |shows| {
            let caller = Caller { shows: Some(shows), ..Caller::new(&web) };
            let mut stream = caller.connect(&proxy, NAME).await.unwrap();
            assert_eq!(ask(&mut stream, NAME).await, Some(200));
            stream
        };
        let (mut stays, mut goes) = (connect(&known).await, connect(&stranger).await);
        put(staff.pem());
        proxy.worker.shared.store.files().look();
        assert!(is_over(&mut goes).await);
        assert_eq!(ask(&mut stays, NAME).await, Some(200));
    });
}
