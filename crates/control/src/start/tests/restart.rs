use super::*;
use model::Resource;

async fn settled(bench: &Bench, running: &Running) -> (Proxy, Proxy) {
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
    let counted =
        async |running: &Running| running.handle.run(|plane, _| plane.world.workloads().len()).await.unwrap();
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
