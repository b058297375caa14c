use super::*;
use crate::authority::{Asking, AuthorityError, Current, causes};
use ca::Root;
use identity::Key;
use xds::proto::ProxyNode;

#[tokio::test]
async fn a_proxy_joins_streams_confirms_and_shows() {
    let bench = Bench::new();
    let running = bench.start().await;
    let mut web = Proxy::join(&bench, &running, "web").await;
    assert_eq!((web.joined.namespace.as_str(), web.joined.group.as_str()), ("default", "web"));
    assert_eq!(web.identity.id().unwrap().to_string(), "spiffe://leno.demo/ns/default/sa/web");
    let uid = web.joined.uid.clone();
    let nonce = web.take().await;
    let before = status_of(&running, &uid).await;
    assert_eq!((&before["synced"], &before["connected"]), (&false.into(), &true.into()), "{before}");
    web.ack(&nonce).await;
    until("the proxy is in sync", async || {
        status_of(&running, &uid).await["synced"].as_bool().filter(|s| *s)
    })
    .await;

    let mut client = Proxy::join(&bench, &running, "client").await;
    client.subscribe(WEB).await;
    client.run_until(|held| endpoints(held, WEB) == [format!("{uid}:Ready")]).await;
    assert!(client.held.contains_key(&format!("service/{WEB}")), "{:?}", client.held.keys());
    assert!(!client.held.contains_key("inbound/default/web"), "another group's inbound side");
    running.stop().await;
}

#[tokio::test]
async fn a_token_is_good_once_and_names_count_for_nothing() {
    let bench = Bench::new();
    let running = bench.start().await;
    let token = token(&running, "web").await;
    try_join(&bench, &running, &token).await.unwrap();
    let again = try_join(&bench, &running, &token).await.unwrap_err();
    assert_eq!(again.code, xds::Code::Unauthenticated, "{again}");
    assert!(again.message.contains("used before"), "{again}");
    let made_up = format!("lj1.{}.{}.{}", "0".repeat(16), "0".repeat(32), "0".repeat(64));
    assert_eq!(try_join(&bench, &running, &made_up).await.unwrap_err().code, xds::Code::Unauthenticated);
    assert!(metric(&running, "leno_control_refusals_total").await >= 2.0);
    let path = "/apis/networking.istio.io/v1/namespaces/default/workloadgroups/nobody/token";
    assert_eq!(http(api(&running), "POST", path, "").await.0, 404);
    running.stop().await;
}

#[tokio::test]
async fn a_flood_of_bad_tokens_is_slowed_down() {
    let bench = Bench::new();
    let running = bench.start().await;
    let made_up = format!("lj1.{}.{}.{}", "0".repeat(16), "0".repeat(32), "0".repeat(64));
    let mut refused = xds::Code::Unauthenticated;
    for _ in 0..100 {
        refused = try_join(&bench, &running, &made_up).await.unwrap_err().code;
        if refused == xds::Code::ResourceExhausted {
            break;
        }
    }
    assert_eq!(refused, xds::Code::ResourceExhausted);
    running.stop().await;
}

#[tokio::test]
async fn a_stream_is_its_owners_alone() {
    let bench = Bench::new();
    let running = bench.start().await;
    let web = Proxy::join(&bench, &running, "web").await;
    let mut client = Proxy::join(&bench, &running, "client").await;
    client.take().await;
    client.disconnect();
    client.joined.uid = web.joined.uid.clone();
    client.connect(&running).await;
    // It learns why, so that its own log says it too.
    let why = client.ended().await.expect("closed without a reason");
    assert_eq!(why.code, xds::Code::PermissionDenied, "{why}");
    let channel = client.channel.clone().unwrap();
    let denied = channel.withdraw(&web.joined.uid, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(denied.code, xds::Code::PermissionDenied);
    let signed = channel.sign(identity::Key::generate().unwrap().csr().unwrap()).await.unwrap();
    assert_eq!(signed.chain.len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn a_replica_is_not_its_sibling_also_after_a_renewal() {
    let bench = Bench::new();
    let running = bench.start().await;
    let mut one = Proxy::join(&bench, &running, "web").await;
    let mut two = Proxy::join(&bench, &running, "web").await;
    assert_eq!(one.identity.id(), two.identity.id());
    let (own, sibling) = (two.joined.uid.clone(), one.joined.uid.clone());
    for proxy in [&mut one, &mut two] {
        proxy.take().await;
    }
    for renewed in [false, true] {
        if renewed {
            let key = identity::Key::generate().unwrap();
            let signed = two.channel.clone().unwrap().sign(key.csr().unwrap()).await.unwrap();
            two.identity.install(identity::Svid::new(key, signed.chain).unwrap());
        }
        two.disconnect();
        two.joined.uid = sibling.clone();
        two.connect(&running).await;
        two.ended().await;
        let channel = two.channel.clone().unwrap();
        let denied = channel.withdraw(&sibling, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(denied.code, xds::Code::PermissionDenied);
        assert!(denied.message.contains("another registration"), "{denied}");
        // A control run: its own it may.
        two.disconnect();
        two.joined.uid = own.clone();
        two.connect(&running).await;
        two.take().await;
    }
    two.channel.clone().unwrap().withdraw(&own, Duration::from_millis(50)).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_refusal_is_kept_and_shown() {
    let bench = Bench::new();
    let running = bench.start().await;
    let mut web = Proxy::join(&bench, &running, "web").await;
    let uid = web.joined.uid.clone();
    let nonce = web.take().await;
    web.nack(&nonce, "cannot read this").await;
    let shown = until("the refusal shows", async || {
        let status = status_of(&running, &uid).await;
        status["error"].is_string().then_some(status)
    });
    let shown = shown.await;
    assert_eq!((&shown["synced"], &shown["state"]), (&false.into(), &"refused".into()), "{shown}");
    assert!(shown["error"].as_str().unwrap().contains("cannot read this"));
    assert_eq!(metric(&running, "leno_control_nacks_total").await, 1.0);
    running.stop().await;
}

#[tokio::test]
async fn a_withdrawal_waits_until_callers_know() {
    let bench = Bench::new();
    let running = bench.start().await;
    let mut web = Proxy::join(&bench, &running, "web").await;
    let nonce = web.take().await;
    web.ack(&nonce).await;
    let uid = web.joined.uid.clone();
    let mut client = Proxy::join(&bench, &running, "client").await;
    client.subscribe(WEB).await;
    client.run_until(|held| endpoints(held, WEB) == [format!("{uid}:Ready")]).await;
    until("the client is in sync", async || {
        status_of(&running, &client.joined.uid).await["synced"].as_bool().filter(|s| *s)
    })
    .await;

    let channel = web.channel.clone().unwrap();
    let leaving = uid.clone();
    let withdrawal = tokio::spawn(async move { channel.withdraw(&leaving, Duration::from_secs(20)).await });
    let nonce = client.take().await;
    assert_eq!(endpoints(&client.held, WEB), [format!("{uid}:Draining")]);
    assert!(!withdrawal.is_finished(), "answered before the client confirmed");
    // Asking again, as after a broken call, is no way around it.
    let again = web.channel.clone().unwrap().withdraw(&uid, Duration::from_millis(50)).await.unwrap();
    assert_eq!(again.outstanding, 1);
    client.ack(&nonce).await;
    let withdrawn = withdrawal.await.unwrap().unwrap();
    assert_eq!((withdrawn.acknowledged, withdrawn.outstanding), (1, 0));
    let again = web.channel.clone().unwrap().withdraw(&uid, Duration::from_secs(20)).await.unwrap();
    assert_eq!(again.outstanding, 0);

    web.disconnect();
    client.run_until(|held| endpoints(held, WEB).is_empty()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_silent_caller_is_counted_as_outstanding() {
    let bench = Bench::new();
    let running = bench.start().await;
    let mut web = Proxy::join(&bench, &running, "web").await;
    let nonce = web.take().await;
    web.ack(&nonce).await;
    let mut client = Proxy::join(&bench, &running, "client").await;
    client.subscribe(WEB).await;
    client.run_until(|held| !endpoints(held, WEB).is_empty()).await;
    until("the client is in sync", async || {
        status_of(&running, &client.joined.uid).await["synced"].as_bool().filter(|s| *s)
    })
    .await;
    let channel = web.channel.clone().unwrap();
    let withdrawn = channel.withdraw(&web.joined.uid, Duration::from_millis(50)).await.unwrap();
    assert_eq!((withdrawn.acknowledged, withdrawn.outstanding), (0, 1));
    running.stop().await;
}

#[tokio::test]
async fn one_proxy_cannot_take_the_streams_of_all() {
    let bench = Bench::new();
    let running = bench.start().await;
    let mut web = Proxy::join(&bench, &running, "web").await;
    web.take().await;
    let channel = web.channel.clone().unwrap();
    let node = || ProxyNode { uid: web.joined.uid.clone(), ..ProxyNode::default() };
    let mut links = Vec::new();
    for _ in 1..crate::plane::STREAMS_PER_PROXY_MAX {
        let mut link = channel.open_ads();
        link.tx.send(xds::client::ClientSession::new().on_connect(node())).await.unwrap();
        assert!(matches!(link.rx.recv().await, Some(Ok(_))));
        links.push(link);
    }
    let mut more = channel.open_ads();
    more.tx.send(xds::client::ClientSession::new().on_connect(node())).await.unwrap();
    let why =
        more.rx.recv().await.expect("closed without a reason").expect_err("one stream too many is served");
    assert_eq!((why.code, why.message.as_str()), (xds::Code::ResourceExhausted, "too many streams"));
    let mut client = Proxy::join(&bench, &running, "client").await;
    client.take().await;
    running.stop().await;
}

#[tokio::test]
async fn a_signing_certificate_for_another_cluster_is_not_used() {
    let bench = Bench::new();
    let issuer = TestRoot(bench.root.clone(), "edge", bench.clock.clone(), Duration::ZERO);
    let ask = async |cluster: &str, held: Option<&Current>| {
        let asking = Asking { issuer: &issuer, cluster, clock: &*bench.clock, caller: None, held };
        let key = Key::generate().unwrap();
        asking.ask(&key, &key.csr().unwrap()).await
    };
    let whole = |error: AuthorityError| format!("{error}: {}", causes(&error));
    let error = whole(ask("west", None).await.err().unwrap());
    assert!(error.contains("the signing certificate is for cluster edge, this is west"), "{error}");
    let first = ask("edge", None).await.unwrap();
    // The next one must be of a root that is trusted already.
    assert!(ask("edge", Some(&first)).await.is_ok());
    let other = Root::generate(bench.root.trust_domain().clone(), Duration::from_secs(3600)).unwrap();
    let issuer = TestRoot(other, "edge", bench.clock.clone(), Duration::ZERO);
    let asking =
        Asking { issuer: &issuer, cluster: "edge", clock: &*bench.clock, caller: None, held: Some(&first) };
    let key = Key::generate().unwrap();
    let error = whole(asking.ask(&key, &key.csr().unwrap()).await.err().unwrap());
    assert!(error.contains("the holder of the root has another root now"), "{error}");
    assert!(error.contains(&model::hex::hex(&bench.root.pin())), "{error}");
}
