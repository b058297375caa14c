//! `GET /leno/v1/status`, `/findings` and `/clusters`: what each proxy was sent and what it really runs, what
//! is wrong, and which other clusters are known.

use crate::plane::Plane;
use crate::presence::{Absence, Registration, seconds};
use crate::stream::{Peer, Stream};
use crate::task::Now;
use apiserver::http::finding_json;
use identity::freshness::{Freshness, Held};
use model::time::rfc3339;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    let mut proxies: Vec<Value> = plane.streams().map(|(_, stream)| proxy(stream, plane, now)).collect();
    // Counted as there or missed, but not heard of: never in sync.
    let absent = plane.presence.absent(seconds(now.wall));
    proxies.extend(absent.map(|(registration, absence)| missing(registration, absence, plane, now)));
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

/// A registration without a stream.
fn missing(registration: &Registration, absence: Absence, plane: &Plane, now: Now) -> Value {
    let (state, since_s) = match absence {
        Absence::Away => ("away", None),
        Absence::Gone { since_s } => ("gone", since_s),
    };
    let since = since_s.map(|since| UNIX_EPOCH + Duration::from_secs(since));
    let age = since.and_then(|since| now.wall.duration_since(since).ok());
    json!({
        "uid": &*registration.uid,
        "name": name(&registration.namespace, &registration.group),
        "namespace": &*registration.namespace,
        "group": &*registration.group,
        "identity": &*registration.identity,
        "addresses": registration.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "connected": false,
        "synced": false,
        "state": state,
        "since": since.map(rfc3339),
        "ageSeconds": age.map(|age| age.as_secs_f64()),
        "certificate": registration.expires_s.map(|at| certificate(at, plane, now)),
    })
}

/// A proxy's certificate: until when, and whether that is too soon for one that is renewed in time.
fn certificate(expires_s: u64, plane: &Plane, now: Now) -> Value {
    let expires = UNIX_EPOCH + Duration::from_secs(expires_s);
    // Its beginning is not known here; all are issued for the same time.
    let begin = expires - plane.presence.lives.certificate;
    json!({ "expires": rfc3339(expires), "state": freshness(Freshness::of(begin, expires, now.wall)) })
}

fn freshness(freshness: Freshness) -> &'static str {
    match freshness {
        Freshness::Good => "valid",
        Freshness::ExpiresSoon(_) => "expires-soon",
        Freshness::Expired(_) => "expired",
    }
}

/// The control plane's own certificates.
pub fn certificates(held: &[Held], now: SystemTime) -> Value {
    let one = |held: &Held| {
        json!({
            "name": held.name,
            "expires": rfc3339(held.not_after),
            "state": freshness(held.freshness(now)),
        })
    };
    Value::Array(held.iter().map(one).collect())
}

fn proxy(stream: &Stream, plane: &Plane, now: Now) -> Value {
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
        Peer::Proxy { uid, identity, remote, key, version, shown } => {
            // Renewed over the stream's connection, it lasts longer than the one that was shown.
            let known = plane.presence.find(uid).and_then(|registration| registration.expires_s);
            let expires_s = known.map_or(shown.expires_s, |known| known.max(shown.expires_s));
            fields.insert("certificate".into(), certificate(expires_s, plane, now));
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
