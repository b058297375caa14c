//! Answers in the words of Kubernetes: objects, lists, discovery, `Status`.

use crate::backend::{ApiError, Item, KindScope, ServedKind};
use api::report::FindingReport;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use model::{Finding, Severity};
use serde_json::{Value, json};
use std::error::Error;

/// How the body of an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Yaml,
}

impl Form {
    /// What the client asked for; JSON when it does not say.
    pub(crate) fn of(headers: &http::HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        if accept.contains("yaml") { Self::Yaml } else { Self::Json }
    }
}

/// A finding as the API shows it.
pub(crate) fn finding(finding: &Finding) -> Value {
    json!(FindingReport::from(finding))
}

/// Any value with any status.
pub(crate) fn value(form: Form, status: StatusCode, value: &Value) -> Response {
    let (kind, text) = match form {
        Form::Json => ("application/json", value.to_string()),
        Form::Yaml => match serde_saphyr::to_string(value) {
            Ok(text) => ("application/yaml", text),
            Err(_) => ("application/json", value.to_string()),
        },
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// One object, with its revision.
pub(crate) fn item(item: Item) -> Value {
    let Item { mut value, revision } = item;
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".into(), Value::String(revision.to_string()));
    }
    value
}

/// A list of objects.
pub(crate) fn list(kind: &ServedKind, items: Vec<Item>) -> Value {
    let newest = items.iter().map(|item| item.revision).max().unwrap_or(0);
    json!({
        "kind": format!("{}List", kind.written()),
        "apiVersion": kind.api_version(),
        "metadata": { "resourceVersion": newest.to_string() },
        "items": items.into_iter().map(item).collect::<Vec<_>>(),
    })
}

/// `/api`.
pub(crate) fn versions() -> Value {
    json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })
}

/// `/apis`.
pub(crate) fn groups(kinds: &[ServedKind]) -> Value {
    let mut seen: Vec<(&str, Vec<Value>)> = Vec::new();
    for kind in kinds.iter().filter(|kind| !kind.group.is_empty()) {
        let version = json!({ "groupVersion": kind.api_version(), "version": kind.version });
        match seen.iter_mut().find(|(group, _)| *group == kind.group) {
            Some((_, versions)) if versions.contains(&version) => {}
            Some((_, versions)) => versions.push(version),
            None => seen.push((kind.group, vec![version])),
        }
    }
    let group = |(name, versions): (&str, Vec<Value>)| {
        let preferred = versions.first().cloned();
        json!({ "name": name, "versions": versions, "preferredVersion": preferred })
    };
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": seen.into_iter().map(group).collect::<Vec<_>>() })
}

/// `/api/v1`, `/apis/GROUP/VERSION`.
pub(crate) fn resources(kinds: &[ServedKind], group: &str, version: &str) -> Value {
    let of = kinds.iter().filter(|kind| kind.group == group && kind.version == version);
    let resource = |kind: &ServedKind| {
        json!({
            "name": kind.plural,
            "singularName": kind.written().to_ascii_lowercase(),
            "namespaced": kind.scope == KindScope::Namespaced,
            "kind": kind.written(),
            "verbs": ["get", "list", "create", "update", "delete"],
        })
    };
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": of.map(resource).collect::<Vec<_>>(),
    })
}

/// A `Status` object.
pub(crate) fn status(
    form: Form,
    code: StatusCode,
    reason: &str,
    message: &str,
    findings: &[Finding],
) -> Response {
    told(form, code, reason, message, json!({ "findings": findings.iter().map(finding).collect::<Vec<_>>() }))
}

fn told(form: Form, code: StatusCode, reason: &str, message: &str, details: Value) -> Response {
    let verdict = if code.is_success() { "Success" } else { "Failure" };
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": verdict,
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
        "details": details,
    });
    value(form, code, &body)
}

/// What failed, and why: what can be done about it stands in the cause.
fn with_causes(what: &str, cause: Option<&(dyn Error + Send + Sync + 'static)>) -> String {
    let (mut told, mut next) = (what.to_owned(), cause.map(|cause| cause as &dyn Error));
    while let Some(cause) = next {
        told.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    told
}

/// A refusal as a `Status`.
pub(crate) fn refusal(form: Form, refusal: &ApiError) -> Response {
    let message = match refusal {
        ApiError::Invalid(findings) => match findings.iter().find(|f| f.code.level() == Severity::Error) {
            Some(first) => first.to_string(),
            None => refusal.to_string(),
        },
        ApiError::ReadOnly(finding) => finding.to_string(),
        ApiError::Unavailable { what, cause } => with_causes(what, cause.as_deref()),
        other => other.to_string(),
    };
    let (code, reason, findings) = match refusal {
        ApiError::Conflict { target, finding: stale } => {
            let details = json!({
                "name": target.name,
                "group": target.kind.group,
                "kind": target.kind.plural,
                "findings": [finding(stale)],
            });
            return told(form, StatusCode::CONFLICT, "Conflict", &message, details);
        }
        ApiError::NotFound(_) => (StatusCode::NOT_FOUND, "NotFound", &[][..]),
        ApiError::Invalid(findings) => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid", findings.as_slice()),
        ApiError::ReadOnly(finding) => (StatusCode::CONFLICT, "Conflict", std::slice::from_ref(&**finding)),
        ApiError::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest", &[][..]),
        ApiError::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", &[][..]),
        ApiError::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &[][..]),
    };
    status(form, code, reason, &message, findings)
}
