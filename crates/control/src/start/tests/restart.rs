use super::*;
use crate::presence::Validity;
use daemon::clock::Clock;
use model::Resource;

async fn settled(bench: &Bench, running: &ControlPlane) -> (Proxy, Proxy) {
    let mut web = Proxy::join(bench, running, "web").await;
    let nonce = web.take().await;
    web.ack(&nonce).await;
    let mut client = Proxy::join(bench, running, "client").await;
    client.subscribe(WEB).await;
    client.subscribe("web.mesh.internal").await;
    let uid = web.joined.uid.clone();
    client
        .run_until(|held| {
            endpoints(held, WEB) == [format!("{uid}:Ready")]
                && endpoints(held, "web.mesh.internal").len() == 1
        })
        .await;
    for proxy in [&web, &client] {
        let uid = proxy.joined.uid.clone();
        until("in sync", async || status_of(running, &uid).await["synced"].as_bool().filter(|s| *s)).await;
    }
    (web, client)
}

fn address(proxy: &Proxy, host: &str) -> Option<Ipv4Addr> {
    match proxy.held.get(&format!("service/{host}")) {
        Some(Resource::Service(service)) => service.address,
        _ => None,
    }
}

#[tokio::test]
async fn a_restart_keeps_what_was_and_sends_only_differences() {
    let bench = Bench::new();
    let running = bench.start().await;
    let (mut web, mut client) = settled(&bench, &running).await;
    let used = token(&running, "web").await;
    try_join(&bench, &running, &used).await.unwrap();
    let before = address(&client, "web.mesh.internal").unwrap();
    for proxy in [&mut web, &mut client] {
        proxy.disconnect();
    }
    running.stop().await;

    let running = bench.start().await;
    let again = try_join(&bench, &running, &used).await.unwrap_err();
    assert!(again.message.contains("used before"), "{again}");
    let uid = client.joined.uid.clone();
    client.connect(&running).await;
    let nonce = client.take().await;
    client.ack(&nonce).await;
    until("the client is in sync again", async || {
        status_of(&running, &uid).await["synced"].as_bool().filter(|s| *s)
    })
    .await;
    assert_eq!(metric(&running, "leno_control_resources_sent_total").await, 0.0, "something was sent again");

    // A control run: what did change is sent, and nothing else.
    let changed = MESH.replace("port: 80, targetPort: 8080", "port: 80, targetPort: 8081");
    assert_ne!(changed, MESH);
    std::fs::write(bench.config().join("mesh.yaml"), changed).unwrap();
    let nonce = client.take().await;
    client.ack(&nonce).await;
    assert!(client.received > 0);
    assert_eq!(address(&client, "web.mesh.internal"), Some(before));
    assert_eq!(endpoints(&client.held, WEB).len(), 1, "the endpoint was lost in the restart");
    running.stop().await;
}

#[tokio::test]
async fn endpoints_are_kept_for_thirty_seconds_after_a_start() {
    let bench = Bench::new();
    let running = bench.start().await;
    let (mut web, mut client) = settled(&bench, &running).await;
    for proxy in [&mut web, &mut client] {
        proxy.disconnect();
    }
    running.stop().await;

    // The holder of the root takes its time: nobody could come back before it answered.
    *bench.signing_takes.lock().unwrap() = Duration::from_secs(45);
    let running = bench.start().await;
    client.connect(&running).await;
    let nonce = client.take().await;
    client.ack(&nonce).await;
    assert_eq!(client.received, 0, "an endpoint was taken away: {:?}", endpoints(&client.held, WEB));
    let uid = client.joined.uid.clone();
    until("the client is in sync again", async || {
        status_of(&running, &uid).await["synced"].as_bool().filter(|s| *s)
    })
    .await;
    let counted = async |running: &ControlPlane| {
        running.handle.run(|plane, _| plane.world.workloads().len()).await.unwrap()
    };
    bench.clock.forward(Duration::from_secs(25));
    assert_eq!(counted(&running).await, 2);
    bench.clock.forward(Duration::from_secs(6));
    client.run_until(|held| endpoints(held, WEB).is_empty()).await;
    assert_eq!(counted(&running).await, 1);
    // It is back: it counts again.
    web.connect(&running).await;
    let nonce = web.take().await;
    web.ack(&nonce).await;
    let uid = web.joined.uid.clone();
    client.run_until(|held| endpoints(held, WEB) == [format!("{uid}:Ready")]).await;
    running.stop().await;
}

/// The permissions of a directory and of all below it.
fn modes(directory: &std::path::Path) -> Vec<(std::path::PathBuf, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut found = vec![(directory.to_owned(), mode(directory))];
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(modes(&path)),
            false => found.push((path.clone(), mode(&path))),
        }
    }
    found
}

#[tokio::test]
async fn state_is_for_its_owner_alone_also_that_of_an_earlier_version() {
    let bench = Bench::new();
    let running = bench.start().await;
    let _ = try_join(&bench, &running, &token(&running, "web").await).await.unwrap();
    running.stop().await;
    let state = bench.path().join("west");
    let found = modes(&state);
    assert!(found.len() > 1, "{found:?}");
    assert!(found.iter().all(|(_, mode)| mode & 0o077 == 0), "{found:?}");
    let (file, _) = found.iter().find(|(path, _)| path.is_file()).unwrap();
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    bench.start().await.stop().await;
    assert!(modes(&state).iter().all(|(_, mode)| mode & 0o077 == 0), "{:?}", modes(&state));
}

/// Renews the proxy's certificate over a new connection, as one does that is cut off.
async fn sign(running: &ControlPlane, proxy: &Proxy) -> Result<xds::grpc::Signed, xds::Status> {
    let trust_domain = model::TrustDomain::parse("leno.demo").unwrap();
    let expect = identity::Expect::Control { trust_domain, cluster: "west".into() };
    let tls = proxy.identity.client_config(expect, &[b"h2"]);
    let channel = xds::grpc::Channel::connect(running.control, tls).await?;
    channel.sign(identity::Key::generate().unwrap().csr().unwrap()).await
}

#[tokio::test]
async fn a_proxy_comes_back_after_an_outage_longer_than_its_certificate() {
    let bench = Bench::new();
    let running = bench.start().await;
    let (mut web, mut client) = settled(&bench, &running).await;
    let channel = client.channel.clone().unwrap();
    channel.withdraw(&client.joined.uid, Duration::from_millis(50)).await.unwrap();
    for proxy in [&mut web, &mut client] {
        proxy.disconnect();
    }
    running.stop().await;

    // Longer than certificates live, both those of proxies and the one that signed them.
    bench.clock.forward(Duration::from_secs(700));
    let running = bench.start().await;
    web.connect(&running).await;
    let refused = web.ended().await.unwrap();
    assert_eq!(refused.code, xds::Code::Unauthenticated, "an expired certificate opened a stream: {refused}");
    let channel = web.channel.clone().unwrap();
    let refused = channel.withdraw(&web.joined.uid, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(refused.code, xds::Code::Unauthenticated, "{refused}");
    let signed = sign(&running, &web).await.unwrap();
    let leaf = identity::leaf(&[signed.chain[0].clone().into()]).unwrap();
    assert_eq!((leaf.id, leaf.uid.as_deref()), (web.identity.id().unwrap(), Some(web.joined.uid.as_str())));
    assert!(http(running.metrics, "GET", "/metrics", "").await.1.contains(r#"call="sign_expired"} 1"#));
    // One that was withdrawn is not taken back.
    let refused = sign(&running, &client).await.unwrap_err();
    assert_eq!(refused.code, xds::Code::PermissionDenied);
    assert!(refused.message.contains("withdrawn"), "{refused}");
    // Nor is one whose group is gone.
    let path = bench.config().join("mesh.yaml");
    std::fs::write(
        &path,
        MESH.replace(
            "{ name: web, namespace: default }\nspec:\n  metadata",
            "{ name: other, namespace: default }\nspec:\n  metadata",
        ),
    )
    .unwrap();
    let gone = until("the group is gone", async || {
        let refused = sign(&running, &web).await.err()?;
        (refused.code == xds::Code::PermissionDenied).then_some(refused.message)
    });
    assert!(gone.await.contains("WorkloadGroup"));
    std::fs::write(&path, MESH).unwrap();
    until("the group is back", async || sign(&running, &web).await.ok()).await;
    // The grace ends; the bench's is an hour.
    bench.clock.forward(Duration::from_secs(3600));
    let late = sign(&running, &web).await.unwrap_err();
    assert_eq!(late.code, xds::Code::PermissionDenied);
    assert!(late.message.contains("expired") && late.message.contains("new token"), "{late}");
    running.stop().await;
}

#[tokio::test]
async fn who_is_gone_shows_until_it_is_back() {
    let bench = Bench::new();
    let running = bench.start().await;
    let (mut web, client) = settled(&bench, &running).await;
    let uid = web.joined.uid.clone();
    let fresh = status_of(&running, &uid).await;
    assert_eq!(fresh["certificate"]["state"], "valid", "{fresh}");
    web.disconnect();
    until("away", async || (status_of(&running, &uid).await["state"] == "away").then_some(())).await;
    bench.clock.forward(Duration::from_secs(11));
    let gone = until("gone", async || {
        let status = status_of(&running, &uid).await;
        (status["state"] == "gone" && status["since"].is_string()).then_some(status)
    })
    .await;
    assert_eq!((&gone["connected"], &gone["synced"]), (&false.into(), &false.into()), "{gone}");
    assert_eq!(metric(&running, "leno_control_gone_proxies").await, 1.0);
    bench.clock.forward(Duration::from_secs(500));
    let soon = status_of(&running, &client.joined.uid).await;
    assert_eq!(soon["certificate"]["state"], "expires-soon", "{soon}");
    web.connect(&running).await;
    web.take().await;
    assert_eq!(status_of(&running, &uid).await["connected"], true);
    // One that will not come back is taken out by hand, but not one that is there.
    let take_out = async |uid: &str| {
        let path = "/apis/networking.istio.io/v1/namespaces/default/workloadgroups/web/withdraw";
        http(api(&running), "POST", path, &format!(r#"{{"uid":"{uid}"}}"#)).await
    };
    let (status, text) = take_out(&uid).await;
    assert!(status == 400 && text.contains("is connected"), "{status}: {text}");
    assert_eq!(take_out(&client.joined.uid).await.0, 404, "it is of another group");
    web.disconnect();
    sign(&running, &web).await.unwrap();
    until("taken out", async || (take_out(&uid).await.0 == 201).then_some(())).await;
    // Its certificate is valid still, but it is the last, also when its proxy is back.
    for is_back in [false, true] {
        if is_back {
            web.connect(&running).await;
            web.take().await;
        }
        let refused = sign(&running, &web).await.unwrap_err();
        assert_eq!(refused.code, xds::Code::PermissionDenied, "{refused}");
        assert!(refused.message.contains("withdrawn"), "{refused}");
    }
    web.disconnect();
    until("nobody", async || status_of(&running, &uid).await.is_null().then_some(())).await;
    running.stop().await;
}

#[tokio::test]
async fn a_control_plane_is_not_ready_when_its_certificates_are_about_to_expire() {
    let bench = Bench::new();
    let running = bench.start().await;
    assert_eq!(http(running.metrics, "GET", "/ready", "").await.0, 200);
    bench.clock.forward(Duration::from_secs(550));
    let (status, text) = http(running.metrics, "GET", "/ready", "").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("signing certificate expires in") && text.contains("own certificate"), "{text}");
    assert_eq!(http(running.metrics, "GET", "/healthz", "").await.0, 200);
    let (_, metrics) = http(running.metrics, "GET", "/metrics", "").await;
    assert!(
        metrics.contains(
            "leno_control_certificate_expiry_timestamp_seconds{certificate=\"signing certificate\"}"
        )
    );
    running.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_in_other_hands_is_not_renewed() {
    let bench = Bench::new();
    let running = bench.start().await;
    let (mut web, _client) = settled(&bench, &running).await;
    let uid = web.joined.uid.clone();
    let used = async |uid: String| {
        running
            .handle
            .run(move |plane, _| plane.presence.find(&uid).and_then(|known| known.used))
            .await
            .unwrap()
    };
    let shown = used(uid.clone()).await.expect("a stream was opened with it");
    web.disconnect();
    bench.clock.forward(Duration::from_secs(700));
    until("gone", async || (status_of(&running, &uid).await["state"] == "gone").then_some(())).await;
    sign(&running, &web).await.unwrap();
    assert_eq!(used(uid.clone()).await, Some(shown));
    // The proxy itself went on from that renewal.
    let newer = Validity { begins_s: shown.begins_s + 700, expires_s: shown.expires_s + 700 };
    let renewed = running.handle.run(move |plane, _| plane.renew(&uid, newer, newer.expires_s + 300));
    renewed.await.unwrap().unwrap();
    let refused = sign(&running, &web).await.unwrap_err();
    assert_eq!(refused.code, xds::Code::PermissionDenied, "{refused}");
    assert!(
        refused.message.contains("newer certificate") && refused.message.contains("new token"),
        "{refused}"
    );
    running.stop().await;
}

/// What is assumed of certificates after a start is nothing to tell people.
#[tokio::test]
async fn after_a_restart_the_end_of_a_certificate_is_the_one_that_is_known() {
    let bench = Bench::new();
    let running = bench.start().await;
    let (mut web, _client) = settled(&bench, &running).await;
    let uid = web.joined.uid.clone();
    let expires = status_of(&running, &uid).await["certificate"]["expires"].clone();
    assert!(expires.is_string());
    web.disconnect();
    running.stop().await;
    let running = bench.start().await;
    bench.clock.forward(Duration::from_secs(31));
    let gone = async || (status_of(&running, &uid).await["state"] == "gone").then_some(());
    until("gone", gone).await;
    assert_eq!(status_of(&running, &uid).await["certificate"]["expires"], expires);
    web.connect(&running).await;
    web.take().await;
    bench.clock.forward(Duration::from_secs(500));
    let soon = status_of(&running, &uid).await;
    assert_eq!(
        (&soon["connected"], &soon["certificate"]["state"]),
        (&true.into(), &"expires-soon".into()),
        "{soon}"
    );
    // Renewed over the stream's own connection: known at once, though the stream was opened with the old one.
    let wall = crate::presence::seconds(bench.clock.wall());
    let (renewed, shown) = (uid.clone(), Validity { begins_s: wall - 600, expires_s: wall });
    let renewed = running.handle.run(move |plane, _| plane.renew(&renewed, shown, wall + 600));
    renewed.await.unwrap().unwrap();
    assert_eq!(status_of(&running, &uid).await["certificate"]["state"], "valid");
    running.stop().await;
}

/// The state that an earlier version left: what was known is known, a token that was good is good, a spent one is not.
#[tokio::test]
async fn the_state_of_an_earlier_version_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(STORE_FILE);
    std::fs::write(&path, fixtures::state::CONTROL_FORMAT_1).unwrap();
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(&path).unwrap());
    let (stored, _) = load(&*store).unwrap();
    for kind in ["Service", "WorkloadGroup", "GlobalService"] {
        let object = model::ObjectRef::new(kind, "default", "web");
        assert!(stored.objects.find_stored(&object).is_some(), "{kind}");
    }
    let hosts: Vec<String> = stored.addresses.keys().map(ToString::to_string).collect();
    assert_eq!(hosts, ["filed.default.svc.cluster.local", WEB, "web.global"]);
    let known = stored.presence.find("west/default/web-fa2237292fb5").unwrap();
    assert_eq!(known.identity.to_string(), "spiffe://cluster.local/ns/default/sa/web");
    assert_eq!(stored.remote.iter().map(|remote| &*remote.cluster).collect::<Vec<_>>(), ["east"]);
    assert_eq!(store.rows(Table::Files).unwrap().len(), 1);

    let clock = crate::tokens::tests::Still::at(fixtures::state::soon_after());
    let tokens = Tokens::new(store, Arc::new(clock));
    let spent = tokens.check(fixtures::state::SPENT_TOKEN).unwrap_err();
    assert!(matches!(spent, crate::tokens::TokenError::Spent), "{spent}");
    let fresh = tokens.check(fixtures::state::FRESH_TOKEN).unwrap();
    assert_eq!((&*fresh.binding.namespace, &*fresh.binding.group), ("default", "web"));
    tokens.spend(&fresh).unwrap();
    assert!(tokens.check(fixtures::state::FRESH_TOKEN).is_err());
}
