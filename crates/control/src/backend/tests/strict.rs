//! STRICT, refused as long as it would shut out callers that were seen.

use super::*;
use crate::plane::{Hello, Plane};
use crate::presence::{Registration, Standing, Validity};
use crate::stream::{ControlStream, StreamPeer};
use crate::task::Now;
use model::SpiffeId;
use model::mtls::MtlsMode;
use model::observed::{
    ConnectionCount, ConnectionTally, ObservedInbound, PLAINTEXT_CALLERS_MAX, PlaintextCaller,
    REFUSED_CALLERS_MAX,
};
use std::net::Ipv4Addr;
use std::time::SystemTime;

const GROUPS: &str = "
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: shop, namespace: default}
spec: {metadata: {labels: {app: shop}}, template: {}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: web, namespace: default}
spec: {metadata: {labels: {app: web}}, template: {}}
";

fn says(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: default}}\nspec: {spec}\n"
    )
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn nothing(now: SystemTime) -> ObservedInbound {
    ObservedInbound {
        started: now - Duration::from_secs(600),
        report_every: Duration::from_secs(5),
        plaintext: ConnectionTally::default(),
        refused: ConnectionTally::default(),
        mutual_tls: ConnectionTally::default(),
    }
}

fn caller(last: u8, port: u16, mode: MtlsMode) -> PlaintextCaller {
    PlaintextCaller { port, address: address(last).into(), mode }
}

/// A proxy of a group is there, at an address whose last byte is this.
fn join(plane: &mut Plane, group: &str, last: u8, now: Now) {
    let identity = format!("spiffe://leno.demo/ns/default/sa/{group}");
    plane.join(Registration {
        uid: group.into(),
        identity: identity.as_str().into(),
        namespace: "default".into(),
        group: group.into(),
        addresses: vec![address(last).into()],
        standing: Standing::Joined,
        gone_s: None,
        expires_s: Some(u64::MAX / 2),
        assumed_s: None,
        used: None,
        unready: None,
    });
    let peer = StreamPeer::Proxy {
        uid: group.into(),
        identity: SpiffeId::parse(&identity).unwrap(),
        remote: (address(last), 1).into(),
        key: translate::ProxyKey { namespace: "default".into(), group: group.into() },
        version: "1".into(),
        shown: Validity { begins_s: 0, expires_s: 600 },
    };
    let stream = ControlStream::new(peer, tokio::sync::mpsc::channel(4).0, move || now.wall);
    plane.open(stream, &Hello::default()).unwrap();
}

/// The proxy of `shop` tells this, as over its stream.
async fn tell(bed: &Bed, what: impl FnOnce(&mut ObservedInbound, SystemTime) + Send + 'static) {
    let told = bed.handle.run(|plane, now| {
        let of_shop = |stream: &ControlStream| matches!(&stream.peer, StreamPeer::Proxy { uid, .. } if **uid == *"shop");
        let id = plane.streams().find(|(_, stream)| of_shop(stream)).map(|(id, _)| *id).unwrap();
        let mut seen = nothing(now.wall);
        what(&mut seen, now.wall);
        plane.observe(id, &xds::wire::observed_out(&seen, now.wall), now.wall);
    });
    told.await.unwrap();
}

/// A mesh of `shop` at 10.0.0.1, which takes plaintext, and `web` at 10.0.0.2.
async fn bed() -> Bed {
    let bed = Bed::new();
    for text in GROUPS.split("---") {
        bed.change(&[text], &[]).await.unwrap();
    }
    bed.change(&[&says("open", "{mtls: {mode: PERMISSIVE}}")], &[]).await.unwrap();
    let joined = bed.handle.run(|plane, now| {
        join(plane, "shop", 1, now);
        join(plane, "web", 2, now);
    });
    joined.await.unwrap();
    bed
}

async fn report(bed: &Bed) -> Value {
    bed.api.report("mtls".into()).await.unwrap()
}

async fn findings(bed: &Bed) -> Vec<Value> {
    bed.api.report("findings".into()).await.unwrap()["findings"].as_array().unwrap().clone()
}

#[tokio::test]
async fn strict_is_refused_with_the_names_of_those_it_would_shut_out() {
    let bed = bed().await;
    let strict = says("open", "{mtls: {mode: STRICT}}");
    tell(&bed, |seen, now| {
        for last in [2, 9] {
            let count = ConnectionCount::came(now);
            seen.plaintext.add(caller(last, 8080, MtlsMode::Permissive), count, PLAINTEXT_CALLERS_MAX);
        }
        seen.mutual_tls.add(8081, ConnectionCount::came(now), 1);
    })
    .await;
    let report = report(&bed).await;
    let ports = report.pointer("/workloads/0/ports").unwrap();
    assert_eq!(ports[0]["verdict"], "would-break", "{report:#}");
    assert_eq!(ports[0]["by"], "PeerAuthentication/open.default");
    assert_eq!(ports[0]["plaintext"][0]["workload"], "web");
    assert_eq!(ports[0]["plaintext"][0]["cause"], "past-proxy");
    assert_eq!(ports[0]["plaintext"][1]["cause"], "no-proxy");
    assert_eq!(ports[1]["verdict"], "ready");
    assert_eq!(report.pointer("/workloads/1/started"), Some(&Value::Null), "web has told nothing");

    let batch = Batch { apply: vec![strict.clone()], ..Batch::default() };
    let Err(ApiError::Invalid(refused)) = bed.api.change(batch).await else { panic!("it was not refused") };
    let text = refused.iter().map(ToString::to_string).collect::<String>();
    for word in ["port 8080", "default/shop", "web at 10.0.0.2 (calls past", "10.0.0.9 (no proxy", "--force"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("8081"), "{text}");
    // What makes it so is one of several ways.
    let codes = ["LENO0119"];
    assert_eq!(
        bed.change(&[], &["PeerAuthentication/open"]).await.unwrap_err(),
        codes,
        "the default is STRICT"
    );
    assert_eq!(bed.change(&[&says("open", "{}")], &[]).await.unwrap_err(), codes);
    let port = "{selector: {matchLabels: {app: shop}}, portLevelMtls: {'8080': {mode: STRICT}}}";
    assert_eq!(bed.change(&[&says("port", port)], &[]).await.unwrap_err(), codes);
    assert_eq!(bed.change_with(&[&strict], &[], ChangeIntent::Try).await.unwrap_err(), codes);
    // What breaks nobody is made.
    bed.change(&[&says("port", &port.replace("8080", "8081"))], &[]).await.unwrap();
    bed.change(&[&strict, &says("port", &port.replace("STRICT", "PERMISSIVE"))], &[]).await.unwrap();
    let state = bed.state().await;
    let tried = bed.change_with(&[&says("other", "{}")], &[], ChangeIntent::Try).await.unwrap();
    assert_eq!((tried.applied.len(), bed.state().await), (0, state), "tried is not made");
}

#[tokio::test]
async fn what_is_forced_is_made_and_whom_it_shuts_out_is_told() {
    let bed = bed().await;
    tell(&bed, |seen, now| {
        let count = ConnectionCount::came(now);
        seen.plaintext.add(caller(9, 8080, MtlsMode::Permissive), count, PLAINTEXT_CALLERS_MAX);
    })
    .await;
    let gone = ["PeerAuthentication/open"];
    assert_eq!(bed.change(&[], &gone).await.unwrap_err(), ["LENO0119"]);
    bed.change_with(&[], &gone, ChangeIntent::Force).await.unwrap();
    assert_eq!(findings(&bed).await, [] as [Value; 0], "it has not called since");
    tell(&bed, |seen, now| {
        let count = ConnectionCount::came(now);
        seen.plaintext.add(caller(9, 8080, MtlsMode::Permissive), count, PLAINTEXT_CALLERS_MAX);
        for last in [9, 10] {
            seen.refused.add(caller(last, 8080, MtlsMode::Strict), count, REFUSED_CALLERS_MAX);
        }
    })
    .await;
    let told = findings(&bed).await;
    assert_eq!((told.len(), &told[0]["code"]), (1, &"LENO0120".into()), "{told:?}");
    assert!(
        told[0].to_string().contains("10.0.0.9") && !told[0].to_string().contains("10.0.0.10"),
        "{told:?}"
    );
    assert_eq!(bed.api.report("status".into()).await.unwrap()["findings"], 1);
    // Mended, it is no finding any more.
    bed.change(&[&says("open", "{mtls: {mode: PERMISSIVE}}")], &[]).await.unwrap();
    assert_eq!(findings(&bed).await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_cannot_be_read_changes_nothing_and_who_leaves_is_forgotten() {
    let bed = bed().await;
    let callers = async || {
        let report = report(&bed).await;
        report.pointer("/workloads/0/ports/0/plaintext").and_then(Value::as_array).map_or(0, Vec::len)
    };
    tell(&bed, |seen, now| {
        let count = ConnectionCount::came(now);
        seen.plaintext.add(caller(9, 8080, MtlsMode::Permissive), count, PLAINTEXT_CALLERS_MAX);
    })
    .await;
    assert_eq!(callers().await, 1);
    let nonsense = bed.handle.run(|plane, now| {
        let mut told = xds::wire::observed_out(&nothing(now.wall), now.wall);
        told.plaintext_unnamed = None;
        told.mutual_tls.push(xds::proto::leno::mesh::v1::MutualTlsPort { port: 70_000, connections: None });
        let ids: Vec<_> = plane.streams().map(|(id, _)| *id).collect();
        ids.iter().for_each(|id| plane.observe(*id, &told, now.wall));
    });
    nonsense.await.unwrap();
    assert_eq!(callers().await, 1);
    bed.handle.run(|plane, _| plane.withdraw_gone("shop")).await.unwrap();
    tell(&bed, |_, _| ()).await;
    let known = bed.handle.run(|plane, _| plane.observed.find("shop").is_some()).await.unwrap();
    assert!(!known, "a proxy that drains tells nothing that is kept");
    bed.change(&[], &["PeerAuthentication/open"]).await.unwrap();
}
