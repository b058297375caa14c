use super::{ClientPolicy, merge};
use model::client_traffic::{ClientTraffic, ProxyProtocolIn, RequestIdAction, UnderscoresAction};
use model::{ObjectRef, Origin};

fn origin(name: &str) -> Origin {
    Origin { object: ObjectRef::new("TrafficPolicy", "ns", name), file: "".into(), line: 1 }
}

#[test]
fn the_narrower_then_the_older_then_the_first_by_name_counts() {
    let says = |action| ClientTraffic { with_underscores: Some(action), ..ClientTraffic::default() };
    let (a, b, c, d) = (origin("a"), origin("b"), origin("c"), origin("d"));
    let proxied = ClientTraffic {
        proxy_protocol: Some(ProxyProtocolIn::default()),
        request_id: Some(RequestIdAction::Disable),
        ..ClientTraffic::default()
    };
    let (allow, reject, drop) = (
        says(UnderscoresAction::Allow),
        says(UnderscoresAction::RejectRequest),
        says(UnderscoresAction::DropHeader),
    );
    let policy = |names_listener, created_s, origin, settings| ClientPolicy {
        names_listener,
        created_s,
        origin,
        settings,
    };
    let all = [
        policy(false, 1, &a, &allow),
        policy(true, 9, &c, &drop),
        policy(true, 9, &b, &reject),
        policy(false, 7, &d, &proxied),
    ];
    let merged = merge(&all);
    assert_eq!(merged.settings.with_underscores, Some(UnderscoresAction::RejectRequest));
    assert_eq!(merged.settings.request_id, Some(RequestIdAction::Disable));
    assert!(merged.settings.proxy_protocol.is_some());
    assert_eq!(merged.outvoted, [(1, "headers.withUnderscoresAction", 2)]);
    assert_eq!(merge(&all[..1]).settings, allow);
    assert_eq!(merge(&[]).settings, ClientTraffic::default());
}
