use super::*;
use crate::local::attach;
use crate::source::Sources;
use model::{Resource, ResourceKey, Subscription};
use std::collections::BTreeMap;
use xds::proto::ProxyNode;

const EXTRA: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: extra\nspec:\n  selector: {app: web}\n  ports:\n  - port: 80\n    name: http\n";

async fn known(running: &ControlPlane, host: &'static str) -> bool {
    let subscription = Subscription::Host(Hostname::parse(host).unwrap());
    let members = running.handle.run(move |plane, _| translate::members(&subscription, &plane.world).len());
    members.await.unwrap() > 0
}

#[tokio::test]
async fn a_broken_file_keeps_the_last_good_configuration() {
    let bench = Bench::new();
    let running = bench.start().await;
    let file = bench.config().join("extra.yaml");
    std::fs::write(&file, EXTRA).unwrap();
    let host = "extra.default.svc.cluster.local";
    until("the new service", async || known(&running, host).await.then_some(())).await;
    std::fs::write(&file, EXTRA.replace("port: 80", "prot: 80")).unwrap();
    let findings = until("a finding", async || {
        let findings = get_json(api(&running), "/leno/v1/findings").await["findings"].clone();
        findings.as_array().unwrap().iter().any(|f| f["level"] == "error").then_some(findings)
    });
    let findings = findings.await;
    let error = findings.as_array().unwrap().iter().find(|f| f["level"] == "error").unwrap();
    assert!(
        error["file"].as_str().unwrap().ends_with("extra.yaml") && error["line"].as_u64() > Some(0),
        "{error}"
    );
    assert!(known(&running, host).await, "the last good configuration is gone");
    std::fs::remove_file(&file).unwrap();
    until("the service is gone", async || (!known(&running, host).await).then_some(())).await;
    running.stop().await;
}

#[tokio::test]
async fn the_api_applies_refuses_and_forgets() {
    let bench = Bench::new();
    let running = bench.start().await;
    let path = "/api/v1/namespaces/default/services/extra";
    let (status, body) = http(api(&running), "PUT", path, &EXTRA.replace("port: 80", "prot: 80")).await;
    assert_eq!(status, 422, "{body}");
    let value: serde_json::Value = serde_json::from_str(&body).unwrap();
    let finding = &value["details"]["findings"][0];
    assert!(finding["cause"].is_string() && finding["line"].as_u64() > Some(0), "{body}");
    assert_eq!(http(api(&running), "GET", path, "").await.0, 404);

    assert_eq!(http(api(&running), "PUT", path, EXTRA).await.0, 201);
    assert_eq!(http(api(&running), "PUT", path, EXTRA).await.0, 200);
    let host = "extra.default.svc.cluster.local";
    assert!(known(&running, host).await);
    let web = "/api/v1/namespaces/default/services/web";
    let (status, body) = http(api(&running), "DELETE", web, "").await;
    assert!(status == 409 && body.contains("LENO0008") && body.contains("mesh.yaml"), "{status} {body}");

    running.stop().await;
    let running = bench.start().await;
    let shown = get_json(api(&running), path).await;
    assert_eq!(shown["metadata"]["name"], "extra", "{shown}");
    assert!(known(&running, host).await);
    assert_eq!(http(api(&running), "DELETE", path, "").await.0, 200);
    assert!(!known(&running, host).await);
    assert_eq!(http(api(&running), "DELETE", path, "").await.0, 404);
    running.stop().await;
}

#[tokio::test]
async fn what_a_stored_object_says_in_vain_is_told_as_long_as_it_is_there() {
    let bench = Bench::new();
    let running = bench.start().await;
    let path = "/api/v1/namespaces/default/services/extra";
    let told = async |running: &ControlPlane| {
        let findings = get_json(api(running), "/leno/v1/findings").await["findings"].clone();
        findings.as_array().unwrap().iter().filter(|finding| finding["code"] == "LENO0109").count()
    };
    assert_eq!(told(&running).await, 0);
    let text = format!("{EXTRA}  sessionAffinity: ClientIP\n");
    assert_eq!(http(api(&running), "PUT", path, &text).await.0, 201);
    assert_eq!(told(&running).await, 1);
    running.stop().await;
    let running = bench.start().await;
    assert_eq!(told(&running).await, 1, "after a restart");
    assert_eq!(http(api(&running), "PUT", path, EXTRA).await.0, 200);
    assert_eq!(told(&running).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_copy_of_an_older_state_overwrites_nothing() {
    let bench = Bench::new();
    let running = bench.start().await;
    let path = "/api/v1/namespaces/default/services/extra";
    let version = async || {
        let shown = get_json(api(&running), path).await;
        shown["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    let copy = |version: &str, port: u16| {
        let text = EXTRA.replace("port: 80", &format!("port: {port}"));
        text.replace("name: extra\n", &format!("name: extra\n  resourceVersion: {version}\n"))
    };
    let refused = async |body: String, now: &str| {
        let (status, body) = http(api(&running), "PUT", path, &body).await;
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &value["kind"], &value["reason"], &value["code"]),
            (409, &"Status".into(), &"Conflict".into(), &409.into()),
            "{body}"
        );
        assert!(
            value["message"].as_str().unwrap().contains("services \"extra\": the object has been modified"),
            "{body}"
        );
        let finding = &value["details"]["findings"][0];
        assert!(finding["code"] == "LENO0009" && finding["cause"].as_str().unwrap().contains(now), "{body}");
    };
    // A copy of what is not there is a copy of something else.
    refused(copy("'1'", 80), "no such object").await;
    assert_eq!(http(api(&running), "GET", path, "").await.0, 404);
    assert_eq!(http(api(&running), "PUT", path, EXTRA).await.0, 201);
    let first = version().await;
    assert_eq!(http(api(&running), "PUT", path, &copy(&format!("'{first}'"), 81)).await.0, 200);
    let second = version().await;
    assert_ne!(first, second);
    refused(copy(&format!("'{first}'"), 82), &format!("is {first}, and the stored object's is {second}"))
        .await;
    assert_eq!(
        (get_json(api(&running), path).await["spec"]["ports"][0]["port"].as_u64(), version().await),
        (Some(81), second.clone())
    );
    // As in Kubernetes, none of these names a state.
    for any in ["''", "'0'", "null"] {
        assert_eq!(http(api(&running), "PUT", path, &copy(any, 83)).await.0, 200, "{any}");
    }
    // The version is that of the store, also after a restart; without quotes it is the same.
    let third = version().await;
    running.stop().await;
    let running = bench.start().await;
    assert_eq!(http(api(&running), "PUT", path, &copy(&second, 84)).await.0, 409);
    assert_eq!(http(api(&running), "PUT", path, &copy(&third, 84)).await.0, 200);
    running.stop().await;
}

#[tokio::test]
async fn a_gateway_has_its_control_plane_inside() {
    let text = translate::shorthand::gateway("127.0.0.1:18080", "127.0.0.1:19000").unwrap();
    let bench = Bench::new();
    let dir = bench.path().join("gateway");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("gateway.yaml"), &text).unwrap();
    let of_text = Sources { text: Some(text.clone()), ..Sources::default() };
    let of_directory = Sources { directories: vec![dir.clone()], ..Sources::default() };
    for sources in [of_text, of_directory] {
        let (trigger, drain) = Drain::new();
        let tasks = Tasks::new();
        let mut attached = attach(sources, &tasks, drain).unwrap();
        assert_eq!(attached.findings, Vec::new());
        let mut session = xds::client::ClientSession::new();
        attached.link.tx.send(session.on_connect(ProxyNode::default())).await.unwrap();
        let response = attached.link.rx.recv().await.unwrap().unwrap();
        let update = session.on_response(response).unwrap();
        let held: BTreeMap<ResourceKey, Resource> = update.upserts.into_iter().collect();
        assert!(held.values().any(|r| matches!(r, Resource::Gateway(_))), "{:?}", held.keys());
        assert!(held.values().any(|r| matches!(r, Resource::Rule(_))), "{:?}", held.keys());
        assert!(held.values().any(|r| matches!(r, Resource::Slice(_))), "{:?}", held.keys());
        attached.link.tx.send(session.ack(&update.nonce, session.held_hash())).await.unwrap();
        trigger.start();
        drop(attached);
        assert_eq!(tasks.drain(Duration::from_secs(10)).await.aborted, Vec::<&str>::new());
    }
}

#[tokio::test]
async fn a_change_over_the_api_is_confirmed_by_its_revision() {
    let bench = Bench::new();
    let running = bench.start().await;
    let mut web = Proxy::join(&bench, &running, "web").await;
    let nonce = web.take().await;
    web.ack(&nonce).await;
    let uid = web.joined.uid.clone();
    let revision = async || status_of(&running, &uid).await["revision"].as_u64().unwrap();
    let put = async |name: &str, kind: &str, body: &str| {
        let (status, body) = http(api(&running), "PUT", &format!("{kind}/{name}"), body).await;
        assert!(matches!(status, 200 | 201), "{body}");
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        value["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let services = "/api/v1/namespaces/default/services";
    let policies = "/apis/security.istio.io/v1/namespaces/default/authorizationpolicies";
    let policy = |namespace: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: default}}\n\
             spec:\n  selector: {{matchLabels: {{app: web}}}}\n  action: DENY\n  rules:\n  - from:\n    \
             - source: {{namespaces: [{namespace}]}}\n"
        )
    };

    // What does not concern a proxy is confirmed without a word from it, also when nothing changed.
    let other = EXTRA.replace("app: web", "app: other");
    for _ in 0..2 {
        let at = put("extra", services, &other).await;
        until("it counts as confirmed", async || (revision().await >= at).then_some(())).await;
    }
    // What concerns it, when it says so and not before.
    let at = put("p", policies, &policy("a")).await;
    let nonce = web.take().await;
    // Not even when something later that does not concern it has been handed out.
    let later = put("extra", services, &other).await;
    until("it is handed out", async || {
        let status = get_json(api(&running), "/leno/v1/status").await;
        (status["revision"].as_u64().unwrap() >= later).then_some(())
    })
    .await;
    assert!(revision().await < at);
    web.ack(&nonce).await;
    until("both are confirmed", async || (revision().await >= later).then_some(())).await;
    // A refusal confirms nothing, however often other things are confirmed afterwards.
    let at = put("p", policies, &policy("b")).await;
    let nonce = web.take().await;
    web.nack(&nonce, "no").await;
    until("the refusal shows", async || status_of(&running, &uid).await["error"].is_string().then_some(()))
        .await;
    put("extra", services, &other).await;
    assert!(revision().await < at);
    running.stop().await;
}

/// Each directory for itself: which object is in force, and what is told.
#[tokio::test]
async fn a_fallback_directory_fills_the_gaps_of_the_first() {
    let bench = Bench::new();
    let fallback = bench.path().join("fallback");
    std::fs::create_dir(&fallback).unwrap();
    let (first, second) = (bench.config().join("extra.yaml"), fallback.join("extra.yaml"));
    let other = EXTRA.replace("port: 80", "port: 81");
    std::fs::write(&first, EXTRA).unwrap();
    std::fs::write(&second, &other).unwrap();
    std::fs::write(fallback.join("more.yaml"), EXTRA.replace("name: extra", "name: more")).unwrap();
    let options =
        Options { config_fallback: vec![fallback.clone()], ..bench.options("west", &bench.config()) };
    let running = bench.start_with("west", options).await;
    let port = async |name: &str| {
        let path = format!("/api/v1/namespaces/default/services/{name}");
        let (_, body) = http(api(&running), "GET", &path, "").await;
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        value["spec"]["ports"][0]["port"].as_u64()
    };
    let told = async || {
        let findings = get_json(api(&running), "/leno/v1/findings").await["findings"].clone();
        let of = |f: &serde_json::Value| {
            format!("{} {}", f["code"].as_str().unwrap(), f["file"].as_str().unwrap())
        };
        findings.as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!((port("extra").await, port("more").await), (Some(80), Some(80)));
    assert_eq!(told().await, [format!("LENO0011 {}", second.display())]);

    // What is broken in one keeps what it had, and says nothing of the other.
    std::fs::write(&first, EXTRA.replace("port: 80", "prot: 80")).unwrap();
    until("the broken file is reported", async || (told().await.len() > 1).then_some(())).await;
    assert_eq!((port("extra").await, port("more").await), (Some(80), Some(80)));
    std::fs::write(
        fallback.join("more.yaml"),
        EXTRA.replace("name: extra", "name: more").replace(": 80", ": 82"),
    )
    .unwrap();
    until("the fallback still changes", async || (port("more").await == Some(82)).then_some(())).await;
    assert_eq!(port("extra").await, Some(80));
    let web = "/api/v1/namespaces/default/services/more";
    let (status, body) = http(api(&running), "DELETE", web, "").await;
    assert!(status == 409 && body.contains("LENO0008") && body.contains("fallback"), "{status} {body}");

    std::fs::remove_file(&first).unwrap();
    until("the fallback's comes back", async || (port("extra").await == Some(81)).then_some(())).await;
    assert_eq!(told().await, Vec::<String>::new());
    std::fs::write(&first, EXTRA).unwrap();
    until("the first one wins again", async || (port("extra").await == Some(80)).then_some(())).await;
    running.stop().await;
}
