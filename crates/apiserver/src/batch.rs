//! Several changes in one call: `POST /leno/v1/batch` with the objects to apply, as text, and those to delete.

use crate::backend::{ApiError, Applies, Batch, ChangeIntent, Changed, KindScope, ObjectTarget, ServedKind};
use crate::reply;
use model::ObjectRef;
use serde_json::{Value, json};

/// Objects of one batch at most, applied and deleted; more are refused.
pub(crate) const OBJECTS_MAX: usize = 20_000;

/// Reads `{"apply": ["TEXT"...], "delete": [{"apiVersion", "kind", "metadata": {"namespace", "name"}}...]}`, with
/// `"force": true` or `"dryRun": true` beside them.
pub(crate) fn read(body: &str, kinds: &[ServedKind]) -> Result<Batch, ApiError> {
    let bad = |what: String| ApiError::BadRequest(what);
    let value: Value =
        serde_json::from_str(body).map_err(|error| bad(format!("the body is no JSON: {error}")))?;
    let Value::Object(mut fields) = value else { return Err(bad("the body is no JSON object".into())) };
    let mut list = |name: &str| match fields.remove(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(bad(format!("`{name}` is no list"))),
    };
    let (apply, delete) = (list("apply")?, list("delete")?);
    let mut switch = |name: &str| match fields.remove(name) {
        None => Ok(false),
        Some(Value::Bool(is_on)) => Ok(is_on),
        Some(_) => Err(bad(format!("`{name}` is neither true nor false"))),
    };
    let intent = match (switch("force")?, switch("dryRun")?) {
        (false, false) => ChangeIntent::Make,
        (true, false) => ChangeIntent::Force,
        (false, true) => ChangeIntent::Try,
        (true, true) => return Err(bad("`force` and `dryRun` exclude each other".into())),
    };
    if let Some(field) = fields.keys().next() {
        return Err(bad(format!(
            "there is no field `{field}` in a batch; it has `apply`, `delete`, `force` and `dryRun`"
        )));
    }
    if apply.len() + delete.len() > OBJECTS_MAX {
        return Err(bad(format!("the batch has more than {OBJECTS_MAX} objects")));
    }
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        _ => Err(bad("`apply` holds something else than texts of objects".into())),
    };
    Ok(Batch {
        apply: apply.into_iter().map(text).collect::<Result<_, _>>()?,
        delete: delete.iter().map(|value| target(value, kinds)).collect::<Result<_, _>>()?,
        intent,
    })
}

fn target(value: &Value, kinds: &[ServedKind]) -> Result<ObjectTarget, ApiError> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (version, name) = (text("/apiVersion"), text("/kind"));
    let kind = kinds.iter().find(|kind| kind.written() == name && kind.api_version() == version).copied();
    let kind = kind.ok_or_else(|| ApiError::NotFound(format!("kind {name} of {version}")))?;
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let has_place = !name.is_empty() && (kind.scope == KindScope::Cluster) == namespace.is_empty();
    if !has_place {
        let what = "an object to delete has a name, and a namespace exactly if its kind has one";
        return Err(ApiError::BadRequest(what.into()));
    }
    Ok(ObjectTarget { kind, namespace: namespace.into(), name: name.into() })
}

/// What came of a batch, as the API says it.
pub(crate) fn answer(changed: &Changed) -> Value {
    let named = |object: &ObjectRef| json!({ "kind": &*object.kind, "namespace": &*object.namespace, "name": &*object.name });
    let applied = |(object, change): &(ObjectRef, Applies)| {
        let mut value = named(object);
        value["change"] = match change {
            Applies::Created => "created".into(),
            Applies::Updated => "configured".into(),
        };
        value
    };
    json!({
        "revision": changed.revision.to_string(),
        "applied": changed.applied.iter().map(applied).collect::<Vec<_>>(),
        "deleted": changed.deleted.iter().map(named).collect::<Vec<_>>(),
        "missing": changed.missing.iter().map(named).collect::<Vec<_>>(),
        "findings": changed.findings.iter().map(reply::finding).collect::<Vec<_>>(),
    })
}
