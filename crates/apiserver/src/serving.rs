//! The door of the API: who has not proved who he is, or has no role, gets no further; whoever is let in is told to
//! what comes behind, as an extension of the request ([`crate::ApiCaller`]).
//!
//! Web pages have no business here: their writes carry `Origin` and are refused, and their reads under a name that was
//! rebound to loopback too (`daemon::host`).

use crate::caller::ApiConnection;
use crate::door::{Door, NotLetIn};
use crate::listen::ApiListeners;
use crate::reply::{self, Form};
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use daemon::host::{is_from_page, is_ours};
use daemon::repeated::Repeated;
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use http::{HeaderValue, StatusCode, header};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

static REFUSED: Repeated = Repeated::new();

/// Serves `router` on all `listeners` until `stop` is done and the answers under way are out.
///
/// # Errors
/// A listener failed for good.
pub async fn serve(
    listeners: ApiListeners,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stop = stop.shared();
    let ApiListeners { all, door, .. } = listeners;
    let router = router.layer(from_fn_with_state(Arc::new(door), admit));
    let served = all.into_iter().map(|listener| {
        let service = router.clone().into_make_service_with_connect_info::<ApiConnection>();
        axum::serve(listener, service).with_graceful_shutdown(stop.clone()).into_future()
    });
    try_join_all(served).await.map(drop)
}

async fn admit(
    State(door): State<Arc<Door>>,
    ConnectInfo(connection): ConnectInfo<ApiConnection>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let form = Form::of(headers);
    if connection.bound.is_some_and(|bound| !is_ours(bound, request.uri(), headers)) {
        let message = "the request names another server; call by address or as localhost";
        return reply::status(form, StatusCode::MISDIRECTED_REQUEST, "Misdirected", message, &[]);
    }
    // Browsers send it with every write, and no page has business here: loopback alone keeps none out.
    if is_from_page(headers) {
        let message = "calls from web pages are refused";
        return reply::status(form, StatusCode::FORBIDDEN, "Forbidden", message, &[]);
    }
    match door.identify(&connection, headers, SystemTime::now()) {
        Ok(caller) => {
            connection.is_admitted.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(why) => {
            if let Some(held_back) = REFUSED.admit(Instant::now()) {
                tracing::warn!(%why, held_back, "API call refused");
            }
            refuse(form, &why)
        }
    }
}

fn refuse(form: Form, why: &NotLetIn) -> Response {
    let (code, reason) = match why {
        NotLetIn::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        NotLetIn::NoRole(_) => (StatusCode::FORBIDDEN, "Forbidden"),
    };
    let mut response = reply::status(form, code, reason, &why.to_string(), &[]);
    // Whoever may not call needs no place.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if code == StatusCode::UNAUTHORIZED {
        // RFC 9110, section 15.5.2.
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
