//! The API over HTTP: paths of Kubernetes, JSON or YAML both ways, errors as `Status` with findings.
//!
//! Knows no kind by name; what is behind a path is asked of a [`Backend`].
//! Who calls is known before it comes here (`serving`); what he may do is looked up in the table of `access`.

use crate::access::{AccessDenied, ApiVerb, permit};
use crate::audit;
use crate::backend::{ApiError, Applied, Applies, Backend, ObjectTarget};
use crate::backup::snapshot;
use crate::batch;
use crate::call::{ApiCall, NoCall};
use crate::caller::ApiCaller;
use crate::listen::ApiListeners;
use crate::path::parse;
use crate::reply::{self, Form};
use crate::serving;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::{Extension, Router};
use http::{HeaderMap, StatusCode};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
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
    permits: Arc<Semaphore>,
    batches: Arc<Semaphore>,
}

/// Serves `backend` on `listeners` until `stop` is done and the answers under way are out.
///
/// # Errors
/// A listener failed for good.
pub async fn serve<B: Backend>(
    listeners: ApiListeners,
    backend: B,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let [permits, batches] = [REQUESTS_MAX, BATCHES_MAX].map(|most| Arc::new(Semaphore::new(most)));
    let shared = Arc::new(Shared { backend, permits, batches });
    let router = Router::new().fallback(answer::<B>).with_state(shared);
    serving::serve(listeners, router, stop).await
}

async fn answer<B: Backend>(
    State(shared): State<Arc<Shared<B>>>,
    Extension(caller): Extension<ApiCaller>,
    request: Request,
) -> Response {
    let form = Form::of(request.headers());
    let Ok(place) = Arc::clone(&shared.permits).try_acquire_owned() else {
        return reply::refusal(form, &ApiError::TooMany("too many requests at once".into()));
    };
    let (head, body) = request.into_parts();
    let call = match ApiCall::of(&head.method, parse(head.uri.path(), shared.backend.kinds())) {
        Ok(call) => call,
        Err(NoCall::Path) => return reply::refusal(form, &ApiError::NotFound("path".into())),
        Err(NoCall::Method) => {
            let message = format!("{} is not possible here", head.method);
            return reply::status(form, StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &message, &[]);
        }
    };
    let (verbs, resource) = call.asks();
    match verbs.iter().try_for_each(|verb| permit(caller.role, *verb, resource)) {
        Ok(()) => {}
        Err(AccessDenied::Nobody { .. }) => {
            return reply::refusal(form, &ApiError::NotFound(call.to_string()));
        }
        Err(why) => {
            audit::denied(&caller, &call, &why);
            let message = format!("{}: {why}", caller.user);
            return reply::status(form, StatusCode::FORBIDDEN, "Forbidden", &message, &[]);
        }
    }
    let is_batch = call == ApiCall::Batch;
    let Ok(batch) = is_batch.then(|| Arc::clone(&shared.batches).try_acquire_owned()).transpose() else {
        return reply::refusal(form, &ApiError::TooMany("too many batches at once".into()));
    };
    let limit = match &call {
        ApiCall::Batch => Some(BATCH_BYTES_MAX),
        ApiCall::Apply(_) | ApiCall::Create(..) => Some(BODY_BYTES_MAX),
        // Of others nobody reads it, and nobody waits for it.
        _ => None,
    };
    let text = match limit {
        Some(limit) => read(body, limit).await,
        None => Ok(String::new()),
    };
    let text = match text {
        Ok(text) => text,
        Err((code, reason, message)) => return reply::status(form, code, reason, &message, &[]),
    };
    // By a task of its own: what is changed is told in the log, also when the caller hangs up meanwhile.
    let acting = tokio::spawn(async move {
        let _held = (place, batch);
        act(&shared.backend, &caller, form, &head.headers, call, text).await
    });
    match acting.await {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => {
            if let ApiError::Unavailable { what, cause } = &refusal {
                tracing::warn!(%what, cause = cause.as_ref().map(tracing::field::display), "API call failed");
            }
            reply::refusal(form, &refusal)
        }
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => reply::refusal(form, &ApiError::TooMany("the server stops".into())),
        },
    }
}

/// The whole body as text.
async fn read(body: Body, limit: usize) -> Result<String, (StatusCode, &'static str, String)> {
    let Ok(body) = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, limit)).await else {
        let message = format!("the body did not come within {} s", BODY_TIMEOUT.as_secs());
        return Err((StatusCode::REQUEST_TIMEOUT, "Timeout", message));
    };
    let Ok(bytes) = body else {
        let message = format!("the body is larger than {limit} bytes or broke off");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message));
    };
    String::from_utf8(bytes.into())
        .map_err(|_| (StatusCode::BAD_REQUEST, "BadRequest", "the body is not UTF-8".to_owned()))
}

async fn act<B: Backend>(
    backend: &B,
    caller: &ApiCaller,
    form: Form,
    headers: &HeaderMap,
    call: ApiCall,
    body: String,
) -> Result<Response, ApiError> {
    let ok = |value| Ok(reply::value(form, StatusCode::OK, &value));
    match call {
        ApiCall::Health => Ok(Response::new("ok".into())),
        ApiCall::Versions => ok(reply::versions()),
        ApiCall::Groups => ok(reply::groups(backend.kinds())),
        ApiCall::Resources { group, version } => ok(reply::resources(backend.kinds(), &group, &version)),
        ApiCall::List(kind, namespace) => {
            let items = backend.list(kind, namespace).await?;
            ok(reply::list(&kind, items))
        }
        ApiCall::Read(target) => ok(find(backend, &target).await?),
        ApiCall::Apply(target) => {
            check_type(headers)?;
            let mut object = target.clone();
            let applied = backend.apply(target, body).await?;
            object.name = applied.item.name().to_owned();
            audit::done(caller, ApiVerb::Apply, object.named());
            Ok(answer_apply(form, applied))
        }
        ApiCall::Delete(target) => {
            let (object, what) = (target.named(), format!("{} {} deleted", target.kind.plural, target.name));
            backend.delete(target).await?;
            audit::done(caller, ApiVerb::Delete, object);
            Ok(reply::status(form, StatusCode::OK, "", &what, &[]))
        }
        ApiCall::Create(target, below) => {
            let what = format!("{}/{below}", target.named());
            let value = backend.call(target, below, body).await?;
            audit::done(caller, ApiVerb::Create, what);
            Ok(reply::value(form, StatusCode::CREATED, &value))
        }
        ApiCall::Batch => {
            check_type(headers)?;
            let changed = backend.change(batch::read(&body, backend.kinds())?).await?;
            audit::done_all(caller, ApiVerb::Apply, changed.applied.iter().map(|(object, _)| object));
            audit::done_all(caller, ApiVerb::Delete, changed.deleted.iter());
            ok(batch::answer(&changed))
        }
        ApiCall::Backup => {
            let (plane, store) = backend.state();
            Ok(snapshot::answer(caller, headers, plane, store).await)
        }
        ApiCall::Report(name) => match backend.report(name.clone()).await {
            Some(value) => ok(value),
            None => Err(ApiError::NotFound(name)),
        },
    }
}

async fn find<B: Backend>(backend: &B, target: &ObjectTarget) -> Result<serde_json::Value, ApiError> {
    let namespace = (!target.namespace.is_empty()).then(|| target.namespace.clone());
    let items = backend.list(target.kind, namespace).await?;
    match items.into_iter().find(|item| item.name() == target.name) {
        Some(item) => Ok(reply::item(item)),
        None => Err(ApiError::NotFound(format!("{} {}", target.kind.plural, target.name))),
    }
}

fn answer_apply(form: Form, applied: Applied) -> Response {
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
    response
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
