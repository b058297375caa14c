//! `GET /leno/v1/backup`: what a plane keeps at this moment, for whoever has the role admin.
//!
//! All rows are taken at once, so a slow caller holds up nothing; they are written as lines while they are sent.

use super::{SNAPSHOT_BYTES_MAX, StatePlane, lines};
use crate::access::{ApiResource, ApiVerb, permit};
use crate::audit;
use crate::backend::ApiError;
use crate::caller::ApiCaller;
use crate::reply::{self, Form};
use crate::store::{Store, StoreError};
use axum::body::Body;
use axum::response::Response;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::Semaphore;

/// One at a time, because each holds all rows in memory; more are answered with 429.
static BACKUPS: Semaphore = Semaphore::const_new(1);

/// Answers with a backup, if the caller may have one.
pub async fn answer(
    caller: &ApiCaller,
    headers: &HeaderMap,
    plane: StatePlane,
    store: Arc<dyn Store>,
) -> Response {
    let form = Form::of(headers);
    if let Err(why) = permit(caller.role, ApiVerb::Get, ApiResource::Backup) {
        audit::denied(caller, ApiResource::Backup, &why);
        let message = format!("{}: {why}", caller.user);
        return reply::status(form, StatusCode::FORBIDDEN, "Forbidden", &message, &[]);
    }
    let Ok(place) = BACKUPS.try_acquire() else {
        return reply::refusal(form, &ApiError::TooMany("another backup is under way".into()));
    };
    let taken = tokio::task::spawn_blocking(move || store.snapshot(SNAPSHOT_BYTES_MAX)).await;
    let refused = |cause: Box<dyn std::error::Error + Send + Sync>| {
        let what = "no backup could be made".to_owned();
        reply::refusal(form, &ApiError::Unavailable { what, cause: Some(cause) })
    };
    let snapshot = match taken {
        Ok(Ok(snapshot)) => snapshot,
        Ok(Err(cause @ StoreError::SnapshotTooLarge { .. })) => {
            return reply::refusal(form, &ApiError::TooMany(cause.to_string()));
        }
        Ok(Err(cause)) => return refused(Box::new(cause)),
        Err(cause) => return refused(Box::new(cause)),
    };
    audit::done(caller, ApiVerb::Get, ApiResource::Backup);
    let lines = lines(plane, snapshot, SystemTime::now());
    // The place is free when the last line is out, or nobody wants it any more.
    let body = stream::iter(lines.map(move |line| {
        let _held = &place;
        Ok::<_, Infallible>(line)
    }));
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}
