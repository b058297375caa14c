//! The API over HTTP: paths of Kubernetes, JSON or YAML both ways, errors as `Status` with findings.
//!
//! Knows no kind by name; what is behind a path is asked of a [`Backend`].
//! Trust: there is no authentication yet. Whoever can open a connection to the listener may read and change
//! everything and issue join tokens, so it is bound to loopback, and every user and process of that machine
//! (or network namespace) is trusted like its administrator. Web pages are not: their writes carry `Origin`
//! and are refused, their reads under a name that was rebound to loopback are refused by `daemon::host`.

use crate::backend::{ApiError, Applies, Backend, ObjectTarget};
use crate::batch;
use crate::path::{ApiPath, parse};
use crate::reply::{self, Form};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use daemon::host::{is_from_page, is_ours};
use http::{HeaderMap, Method, StatusCode};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Largest body of a request, in bytes; more is answered with 413.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Largest body of a batch, in bytes; more is answered with 413.
pub const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Batches taken at once; more are answered with 429.
pub const BATCHES_MAX: usize = 4;
/// A body that takes longer to come is answered with 408, so that slow callers do not hold all places.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The types of a body that are read, all as YAML, of which JSON is a part.
const BODY_TYPES: [&str; 5] =
    ["application/json", "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];
/// Requests answered at once; more are answered with 429.
pub const REQUESTS_MAX: usize = 64;

struct Shared<B> {
    backend: B,
    bound: IpAddr,
    permits: Semaphore,
    batches: Semaphore,
}

/// Serves `backend` on `listener` until `stop` is done and the answers under way are out.
pub async fn serve<B: Backend>(
    listener: TcpListener,
    backend: B,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let bound = listener.local_addr()?.ip();
    let (permits, batches) = (Semaphore::new(REQUESTS_MAX), Semaphore::new(BATCHES_MAX));
    let shared = Arc::new(Shared { backend, bound, permits, batches });
    let router = Router::new().fallback(answer::<B>).with_state(shared);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn answer<B: Backend>(State(shared): State<Arc<Shared<B>>>, request: Request) -> Response {
    let form = Form::of(request.headers());
    if !is_ours(shared.bound, request.uri(), request.headers()) {
        let message = "the request names another server; call by address or as localhost";
        return reply::status(form, StatusCode::MISDIRECTED_REQUEST, "Misdirected", message, &[]);
    }
    let Ok(_permit) = shared.permits.try_acquire() else {
        return reply::refusal(form, &ApiError::TooMany("too many requests at once".into()));
    };
    let (head, body) = request.into_parts();
    // Browsers send it with every write, and no page has business here: loopback alone keeps none out.
    if is_from_page(&head.headers) {
        let message = "calls from web pages are refused";
        return reply::status(form, StatusCode::FORBIDDEN, "Forbidden", message, &[]);
    }
    let place = parse(head.uri.path(), shared.backend.kinds());
    let is_batch = place == ApiPath::Batch;
    let Ok(_batch) = is_batch.then(|| shared.batches.try_acquire()).transpose() else {
        return reply::refusal(form, &ApiError::TooMany("too many batches at once".into()));
    };
    let limit = if is_batch { BATCH_BYTES_MAX } else { BODY_BYTES_MAX };
    let Ok(body) = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, limit)).await else {
        let message = format!("the body did not come within {} s", BODY_TIMEOUT.as_secs());
        return reply::status(form, StatusCode::REQUEST_TIMEOUT, "Timeout", &message, &[]);
    };
    let Ok(bytes) = body else {
        let message = format!("the body is larger than {limit} bytes or broke off");
        return reply::status(form, StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message, &[]);
    };
    let Ok(text) = String::from_utf8(bytes.into()) else {
        return reply::refusal(form, &ApiError::BadRequest("the body is not UTF-8".into()));
    };
    match act(&shared.backend, form, &head.method, &head.headers, place, text).await {
        Ok(response) => response,
        Err(refusal) => {
            if let ApiError::Unavailable { what, cause } = &refusal {
                tracing::warn!(%what, cause = cause.as_ref().map(tracing::field::display), "API call failed");
            }
            reply::refusal(form, &refusal)
        }
    }
}

async fn act<B: Backend>(
    backend: &B,
    form: Form,
    method: &Method,
    headers: &HeaderMap,
    place: ApiPath,
    body: String,
) -> Result<Response, ApiError> {
    let read = matches!(*method, Method::GET | Method::HEAD);
    let write = matches!(*method, Method::PUT | Method::POST);
    let ok = |value| Ok(reply::value(form, StatusCode::OK, &value));
    match place {
        ApiPath::Health if read => Ok(Response::new("ok".into())),
        ApiPath::Versions if read => ok(reply::versions()),
        ApiPath::Groups if read => ok(reply::groups(backend.kinds())),
        ApiPath::Resources { group, version } if read => {
            ok(reply::resources(backend.kinds(), &group, &version))
        }
        ApiPath::List(kind, namespace) if read => {
            let items = backend.list(kind, namespace).await?;
            ok(reply::list(&kind, items))
        }
        ApiPath::List(kind, namespace) if *method == Method::POST => {
            let target = ObjectTarget { kind, namespace: namespace.unwrap_or_default(), name: String::new() };
            apply(backend, form, headers, target, body).await
        }
        ApiPath::Object(target) if read => ok(find(backend, &target).await?),
        ApiPath::Object(target) if write => apply(backend, form, headers, target, body).await,
        ApiPath::Object(target) if *method == Method::DELETE => {
            let what = format!("{} {} deleted", target.kind.plural, target.name);
            backend.delete(target).await?;
            Ok(reply::status(form, StatusCode::OK, "", &what, &[]))
        }
        ApiPath::Below(target, below) if *method == Method::POST => {
            let value = backend.call(target, below, body).await?;
            Ok(reply::value(form, StatusCode::CREATED, &value))
        }
        ApiPath::Batch if *method == Method::POST => {
            check_type(headers)?;
            let changed = backend.change(batch::read(&body, backend.kinds())?).await?;
            ok(batch::answer(&changed))
        }
        ApiPath::Report(name) if read => match backend.report(name.clone()).await {
            Some(value) => ok(value),
            None => Err(ApiError::NotFound(name)),
        },
        ApiPath::Unknown => Err(ApiError::NotFound("path".into())),
        _ => {
            let message = format!("{method} is not possible here");
            Ok(reply::status(form, StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &message, &[]))
        }
    }
}

async fn find<B: Backend>(backend: &B, target: &ObjectTarget) -> Result<serde_json::Value, ApiError> {
    let namespace = (!target.namespace.is_empty()).then(|| target.namespace.clone());
    let items = backend.list(target.kind, namespace).await?;
    let named = |item: &crate::Item| {
        item.value.pointer("/metadata/name").and_then(|v| v.as_str()) == Some(&target.name)
    };
    match items.into_iter().find(named) {
        Some(item) => Ok(reply::item(item)),
        None => Err(ApiError::NotFound(format!("{} {}", target.kind.plural, target.name))),
    }
}

async fn apply<B: Backend>(
    backend: &B,
    form: Form,
    headers: &HeaderMap,
    target: ObjectTarget,
    body: String,
) -> Result<Response, ApiError> {
    check_type(headers)?;
    let applied = backend.apply(target, body).await?;
    let status = match applied.change {
        Applies::Created => StatusCode::CREATED,
        Applies::Updated => StatusCode::OK,
    };
    let mut response = reply::value(form, status, &reply::item(applied.item));
    for finding in &applied.findings {
        // RFC 7234 warn-code 299, as kubectl prints it.
        let text: String = finding
            .to_string()
            .chars()
            .map(|c| if c.is_ascii_graphic() && c != '"' { c } else { ' ' })
            .collect();
        if let Ok(value) = http::HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
    Ok(response)
}

/// Refuses a body of a type that is not read.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    // No type at all is read as YAML.
    for value in headers.get_all(http::header::CONTENT_TYPE) {
        let text = value.to_str().unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default().trim();
        if !BODY_TYPES.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
            let message =
                format!("a body of type {text:?} is not read; send application/yaml or application/json");
            return Err(ApiError::BadRequest(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
