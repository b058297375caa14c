//! `GET /leno/v1/status`, `/findings` and `/clusters`: what each proxy was sent and what it really runs, what
//! is wrong, and which other clusters are known.

use crate::plane::Plane;
use crate::stream::{Peer, Stream};
use crate::task::Now;
use apiserver::http::finding_json;
use serde_json::{Value, json};

/// Answers `GET /leno/v1/NAME`; `None`: no such report.
pub fn report(name: &str, plane: &Plane, now: Now) -> Option<Value> {
    match name {
        "status" => Some(status(plane, now)),
        "findings" => Some(findings(plane)),
        "clusters" => Some(clusters(plane)),
        _ => None,
    }
}

fn status(plane: &Plane, now: Now) -> Value {
    let mut proxies: Vec<Value> = plane.streams().map(|(_, stream)| proxy(stream, now)).collect();
    let connected = plane.connected();
    let away =
        plane.presence.present().filter(|(registration, _)| !connected.contains_key(&registration.uid));
    // Counted as there, but not heard of: never in sync.
    proxies.extend(away.map(|(registration, _)| {
        json!({
            "uid": &*registration.uid,
            "name": name(&registration.namespace, &registration.group),
            "namespace": &*registration.namespace,
            "group": &*registration.group,
            "identity": &*registration.identity,
            "connected": false,
            "synced": false,
            "state": "away",
        })
    }));
    proxies.sort_by_key(|proxy| proxy["uid"].as_str().unwrap_or_default().to_owned());
    let place = plane.world.place();
    json!({
        "cluster": &*place.cluster,
        "network": &*place.network,
        "trustDomain": place.trust_domain.as_str(),
        "objects": plane.in_force().len(),
        "findings": plane.findings().len(),
        "revision": plane.revision(),
        "published": plane.published(),
        "clusters": plane.remotes().map(|cluster| &*cluster.cluster).collect::<Vec<_>>(),
        "proxies": proxies,
    })
}

fn name(namespace: &str, group: &str) -> String {
    format!("{namespace}/{group}")
}

fn proxy(stream: &Stream, now: Now) -> Value {
    let status = stream.status();
    let age_s = now.wall.duration_since(status.since).map_or(0.0, |age| age.as_secs_f64());
    let state = match (status.synced, &status.last_error) {
        (true, _) => "synced",
        (false, Some(_)) => "refused",
        (false, None) => "pending",
    };
    let mut value = json!({
        "connected": true,
        "sent": status.sent.to_string(),
        "applied": status.applied.to_string(),
        "synced": status.synced,
        "state": state,
        "error": status.last_error,
        "resources": status.resources,
        "revision": stream.revision(),
        "subscriptions": stream.subscriptions().count(),
        "ageSeconds": age_s,
    });
    let Some(fields) = value.as_object_mut() else { return value };
    match &stream.peer {
        Peer::Proxy { uid, identity, remote, key, version } => {
            fields.insert("uid".into(), json!(&**uid));
            fields.insert("name".into(), json!(name(&key.namespace, &key.group)));
            fields.insert("namespace".into(), json!(&*key.namespace));
            fields.insert("group".into(), json!(&*key.group));
            fields.insert("identity".into(), json!(identity.to_string()));
            fields.insert("address".into(), json!(remote.to_string()));
            fields.insert("version".into(), json!(&**version));
        }
        Peer::Local => {
            fields.insert("uid".into(), json!("local"));
            fields.insert("name".into(), json!("local"));
        }
    }
    value
}

fn findings(plane: &Plane) -> Value {
    json!({ "findings": plane.findings().iter().map(finding_json).collect::<Vec<_>>() })
}

fn clusters(plane: &Plane) -> Value {
    let export = |export: &model::federation::Export| {
        json!({
            "host": export.host.as_str(),
            "weight": export.weight,
            "identities": export.identities.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let cluster = |cluster: &model::federation::RemoteCluster| {
        let gateways = cluster.gateways.iter().map(|gateway| format!("{}:{}", gateway.address, gateway.port));
        json!({
            "cluster": &*cluster.cluster,
            "network": &*cluster.network,
            "region": &*cluster.locality.region,
            "zone": &*cluster.locality.zone,
            "gateways": gateways.collect::<Vec<_>>(),
            "exports": cluster.exports.iter().map(export).collect::<Vec<_>>(),
        })
    };
    let own = plane.world.export();
    json!({ "own": cluster(&own), "others": plane.remotes().map(cluster).collect::<Vec<_>>() })
}
