//! `GET /leno/v1/clusters`: what each cluster offers. `GET /leno/v1/status`: whether it is heard of, what it was
//! sent of the others, and what it confirmed.
//!
//! `GET /leno/v1/backup`: what it keeps.
//!
//! Read only: for whoever has any role (`apiserver::serving` has asked who calls), the backup for the role admin.

use crate::clusters::KnownCluster;
use crate::serving::{ClusterSync, Hub};
use api::report::{
    ClusterReport, ClusterStanding, MANAGER, ManagerStatus, PastReport, ReportedCluster, ReportedClusters,
    SyncState,
};
use apiserver::backup::snapshot;
use apiserver::{ApiCaller, ApiListeners, StatePlane, serving};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use model::time::rfc3339;
use planes::OwnCertificates;
use planes::report::{certificate, value};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

struct Shown {
    hub: Arc<Hub>,
    certificates: OwnCertificates,
}

/// Serves the API until `stop` is done.
pub async fn serve(
    listeners: ApiListeners,
    hub: Arc<Hub>,
    certificates: OwnCertificates,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/leno/v1/clusters", get(clusters))
        .route("/leno/v1/status", get(status))
        .route("/leno/v1/backup", get(backup))
        .fallback(elsewhere)
        .with_state(Arc::new(Shown { hub, certificates }));
    serving::serve(listeners, router, stop).await
}

async fn clusters(State(shown): State<Arc<Shown>>) -> Json<Value> {
    Json(value(ReportedClusters { clusters: shown.hub.clusters().all().map(cluster).collect() }))
}

async fn backup(
    State(shown): State<Arc<Shown>>,
    Extension(caller): Extension<ApiCaller>,
    headers: HeaderMap,
) -> Response {
    snapshot::answer(&caller, &headers, StatePlane::Manager, shown.hub.store()).await
}

/// What a cluster's own control plane has is told from what is here, in the form of Kubernetes.
async fn elsewhere(request: Request) -> impl IntoResponse {
    let path = request.uri().path();
    let message = format!(
        "the management plane does not have {path}, only /leno/v1/status, /leno/v1/clusters and /leno/v1/backup; ask the control plane of a cluster, for example with --server unix:/run/leno/control.sock on its host"
    );
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
        "code": 404, "message": message });
    (StatusCode::NOT_FOUND, Json(status))
}

async fn status(State(shown): State<Arc<Shown>>) -> Json<Value> {
    let Shown { hub, certificates } = &*shown;
    let now = hub.now();
    let told = hub.told().clone();
    let clusters =
        hub.clusters().all().map(|known| standing(known, told.get(&known.report.cluster), now)).collect();
    Json(value(ManagerStatus {
        plane: MANAGER.into(),
        trust_domain: hub.trust_domain().as_str().into(),
        clusters,
        certificates: certificates().iter().map(|held| certificate(held, now)).collect(),
    }))
}

/// One cluster: whether it is there, and how far it is with what the others offer.
fn standing(known: &KnownCluster, told: Option<&ClusterSync>, now: SystemTime) -> ClusterStanding {
    let is_connected = known.links > 0;
    let since = match told {
        Some(told) if is_connected => told.status.since,
        _ => known.left,
    };
    let status = told.map(|told| &told.status);
    let state = match (is_connected, status) {
        (false, _) => SyncState::Gone,
        (true, Some(status)) => SyncState::of_session(status.synced, status.last_error.as_deref()),
        (true, None) => SyncState::Pending,
    };
    ClusterStanding {
        cluster: known.report.cluster.to_string(),
        connected: is_connected,
        state: Some(state),
        synced: state == SyncState::Synced,
        sent: status.map(|status| status.sent.to_string()),
        applied: status.map(|status| status.applied.to_string()),
        error: status.and_then(|status| status.last_error.clone()),
        resources: status.map(|status| status.resources),
        address: told.map(|told| told.address.to_string()),
        version: told.map(|told| told.version.clone()),
        revision: known.revision,
        reported_at: rfc3339(known.at),
        since: Some(rfc3339(since)),
        age_seconds: Some(now.duration_since(since).map_or(0.0, |age| age.as_secs_f64())),
    }
}

fn cluster(known: &KnownCluster) -> ReportedCluster {
    let past = |(revision, version): &(u64, Arc<str>)| PastReport {
        revision: *revision,
        version: version.to_string(),
    };
    ReportedCluster {
        report: ClusterReport::from(&known.report),
        connected: known.links > 0,
        revision: known.revision,
        version: known.encoded.version.to_string(),
        reported_at: known.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        history: known.history.iter().map(past).collect(),
    }
}
