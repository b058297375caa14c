//! `GET /leno/v1/clusters`: what each cluster offers, and whether it is heard of.
//!
//! Read only and without authentication: bound to loopback, for every user of that machine. Web pages that
//! were rebound to loopback are refused (`daemon::host`).

use crate::clusters::Known;
use crate::serving::Hub;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use daemon::host::is_ours;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use tokio::net::TcpListener;

/// Serves the API until `stop` is done.
pub async fn serve(
    listener: TcpListener,
    hub: Arc<Hub>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let bound = listener.local_addr()?.ip();
    let check = move |request: Request, next: Next| async move {
        match is_ours(bound, request.uri(), request.headers()) {
            true => next.run(request).await,
            false => (StatusCode::MISDIRECTED_REQUEST, "the request names another server\n").into_response(),
        }
    };
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/leno/v1/clusters", get(clusters))
        .layer(axum::middleware::from_fn(check))
        .with_state(hub);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn clusters(State(hub): State<Arc<Hub>>) -> Json<Value> {
    let clusters: Vec<Value> = hub.clusters().all().map(cluster).collect();
    Json(json!({ "clusters": clusters }))
}

fn cluster(known: &Known) -> Value {
    let report = &known.report;
    let export = |export: &model::federation::Export| {
        json!({
            "host": export.host.as_str(),
            "weight": export.weight,
            "identities": export.identities.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let gateways = report.gateways.iter().map(|gateway| format!("{}:{}", gateway.address, gateway.port));
    let history = known
        .history
        .iter()
        .map(|(revision, version)| json!({ "revision": revision, "version": &**version }));
    json!({
        "cluster": &*report.cluster,
        "network": &*report.network,
        "region": &*report.locality.region,
        "zone": &*report.locality.zone,
        "gateways": gateways.collect::<Vec<_>>(),
        "exports": report.exports.iter().map(export).collect::<Vec<_>>(),
        "connected": known.links > 0,
        "revision": known.revision,
        "version": &*known.encoded.version,
        "reportedAt": known.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        "history": history.collect::<Vec<_>>(),
    })
}
