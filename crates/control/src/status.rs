//! `GET /leno/v1/status`, `/findings`, `/mtls` and `/clusters`: what each proxy was sent and what it really runs, what
//! is wrong, and which other clusters are known. Their form is `api::report`.

mod mtls;

use crate::plane::Plane;
use crate::presence::{Absence, Registration, seconds};
use crate::stream::{ControlStream, StreamPeer};
use crate::task::Now;
use api::report::{
    ApplicationReport, CertificateReport, ClusterReport, ControlStatus, FindingReport, FindingsReport,
    KnownClusters, ModeReport, MtlsReport, ProxyReport, SyncState,
};
use identity::freshness::{CertificateValidity, Freshness};
use model::mtls::ModeOrigin;
use model::time::rfc3339;
use planes::report::{certificate_state, value};
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};

/// Answers `GET /leno/v1/NAME`; `None`: no such report. `held` are the control plane's own certificates.
pub fn report(name: &str, plane: &Plane, held: &[CertificateValidity], now: Now) -> Option<Value> {
    match name {
        "status" => Some(value(status(plane, held, now))),
        "findings" => Some(value(findings(plane, now))),
        "mtls" => Some(value(mtls::mtls(plane, now.wall))),
        "clusters" => Some(value(clusters(plane))),
        _ => None,
    }
}

fn status(plane: &Plane, held: &[CertificateValidity], now: Now) -> ControlStatus {
    let mut proxies: Vec<ProxyReport> =
        plane.streams().map(|(_, stream)| proxy(stream, plane, now)).collect();
    // Counted as there or missed, but not heard of: never in sync.
    let absent = plane.presence.absent(seconds(now.wall));
    proxies.extend(absent.map(|(registration, absence)| missing(registration, absence, plane, now)));
    proxies.sort_by(|a, b| a.uid.cmp(&b.uid));
    let place = plane.world.local_cluster();
    ControlStatus {
        cluster: place.cluster.to_string(),
        network: place.network.to_string(),
        trust_domain: place.trust_domain.as_str().into(),
        objects: plane.world.objects().len(),
        findings: plane.findings_now(now.wall).len(),
        revision: plane.revision(),
        published: plane.published(),
        clusters: plane.remotes().map(|cluster| cluster.cluster.to_string()).collect(),
        proxies,
        certificates: held.iter().map(|held| planes::report::certificate(held, now.wall)).collect(),
    }
}

fn name(namespace: &str, group: &str) -> String {
    format!("{namespace}/{group}")
}

/// A registration without a stream.
fn missing(registration: &Registration, absence: Absence, plane: &Plane, now: Now) -> ProxyReport {
    let (state, since_s) = match absence {
        Absence::Away => (SyncState::Away, None),
        Absence::Gone { since_s } => (SyncState::Gone, since_s),
    };
    let since = since_s.map(|since| UNIX_EPOCH + Duration::from_secs(since));
    let age = since.and_then(|since| now.wall.duration_since(since).ok());
    ProxyReport {
        uid: Some(registration.uid.to_string()),
        name: Some(name(&registration.namespace, &registration.group)),
        namespace: Some(registration.namespace.to_string()),
        group: Some(registration.group.to_string()),
        identity: Some(registration.identity.to_string()),
        addresses: Some(registration.addresses.iter().map(ToString::to_string).collect()),
        state: Some(state),
        since: Some(since.map(rfc3339)),
        age_seconds: age.map(|age| age.as_secs_f64()),
        certificate: Some(registration.expires_s.map(|at| certificate(at, plane, now))),
        mtls: modes(&registration.namespace, &registration.group, plane),
        application: application(registration, plane),
        ..ProxyReport::default()
    }
}

/// What the ports of a group's workloads take from callers.
fn modes(namespace: &str, group: &str, plane: &Plane) -> Option<MtlsReport> {
    let effective = plane.world.mtls(namespace, group)?;
    let report = |said: &ModeOrigin| ModeReport {
        mode: said.mode.as_str().into(),
        by: said.origin.as_ref().map(|origin| origin.object.to_string()),
    };
    let ports = effective.ports.iter().map(|(port, said)| (port.to_string(), report(said)));
    Some(MtlsReport { mode: report(&effective.mode), ports: ports.collect() })
}

/// How the application of a registration is, where that is known or asked.
fn application(registration: &Registration, plane: &Plane) -> Option<ApplicationReport> {
    let is_probed = || {
        let group = plane.world.group(&registration.namespace, &registration.group);
        group.is_some_and(|group| group.probe.is_some())
    };
    match &registration.unready {
        Some(cause) => Some(ApplicationReport { ready: false, cause: Some(cause.to_string()) }),
        None => is_probed().then_some(ApplicationReport { ready: true, cause: None }),
    }
}

/// A proxy's certificate: until when, and whether that is too soon for one that is renewed in time.
fn certificate(expires_s: u64, plane: &Plane, now: Now) -> CertificateReport {
    let expires = UNIX_EPOCH + Duration::from_secs(expires_s);
    // Its beginning is not known here; all are issued for the same time.
    let begin = expires - plane.presence.lives.certificate;
    CertificateReport {
        name: None,
        expires: Some(rfc3339(expires)),
        state: Some(certificate_state(Freshness::of(begin, expires, now.wall))),
    }
}

fn proxy(stream: &ControlStream, plane: &Plane, now: Now) -> ProxyReport {
    let status = stream.status();
    let age_s = now.wall.duration_since(status.since).map_or(0.0, |age| age.as_secs_f64());
    let report = ProxyReport {
        connected: true,
        sent: Some(status.sent.to_string()),
        applied: Some(status.applied.to_string()),
        synced: status.synced,
        state: Some(SyncState::of_session(status.synced, status.last_error.as_deref())),
        error: Some(status.last_error),
        resources: Some(status.resources),
        revision: Some(stream.revision()),
        subscriptions: Some(stream.subscriptions().count()),
        age_seconds: Some(age_s),
        ..ProxyReport::default()
    };
    match &stream.peer {
        StreamPeer::Proxy { uid, identity, remote, key, version, shown } => {
            // Renewed over the stream's connection, it lasts longer than the one that was shown.
            let registration = plane.presence.find(uid);
            let known = registration.and_then(|registration| registration.expires_s);
            let expires_s = known.map_or(shown.expires_s, |known| known.max(shown.expires_s));
            ProxyReport {
                certificate: Some(Some(certificate(expires_s, plane, now))),
                uid: Some(uid.to_string()),
                name: Some(name(&key.namespace, &key.group)),
                namespace: Some(key.namespace.to_string()),
                group: Some(key.group.to_string()),
                identity: Some(identity.to_string()),
                address: Some(remote.to_string()),
                version: Some(version.to_string()),
                mtls: modes(&key.namespace, &key.group, plane),
                application: registration.and_then(|registration| application(registration, plane)),
                ..report
            }
        }
        StreamPeer::Local => ProxyReport { uid: Some("local".into()), name: Some("local".into()), ..report },
    }
}

fn findings(plane: &Plane, now: Now) -> FindingsReport {
    FindingsReport { findings: plane.findings_now(now.wall).iter().map(FindingReport::from).collect() }
}

fn clusters(plane: &Plane) -> KnownClusters {
    let own = ClusterReport::from(&plane.world.export());
    KnownClusters { own, others: plane.remotes().map(ClusterReport::from).collect() }
}
