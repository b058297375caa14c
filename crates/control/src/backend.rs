//! What stands behind the API: objects, tokens, reports.

mod change;

use crate::status;
use crate::task::{Ended, Handle};
use crate::tokens::{Binding, TokenError, Tokens};
use api::Object;
use api::kinds::{self, ObjectKind};
use apiserver::backend::{
    ApiError, Applied, Applies, Backend, Batch, Changed, Item, KindScope, ObjectTarget, ServedKind,
};
use apiserver::{StatePlane, Store};
use change::{Made, WantedChange};
use model::time::rfc3339;
use model::{Code, Finding, ObjectRef, Origin, Severity};
use planes::OwnCertificates;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::Mutex;

/// Gives the SHA-256 of the root that tokens pin; `None` until there is a signing certificate.
pub type RootHash = Arc<dyn Fn() -> Option<[u8; 32]> + Send + Sync>;

/// The API of one cluster.
pub struct ClusterApi {
    kinds: Vec<ServedKind>,
    handle: Handle,
    store: Arc<dyn Store>,
    tokens: Tokens,
    root: RootHash,
    certificates: OwnCertificates,
    /// Writes go one after the other, so that store and plane see the same order.
    writing: Arc<Mutex<()>>,
}

impl ClusterApi {
    /// The API over `handle`'s plane, with objects kept in `store`.
    pub fn new(handle: Handle, store: Arc<dyn Store>, tokens: Tokens, root: RootHash) -> Self {
        let certificates: OwnCertificates = Arc::new(Vec::new);
        Self { kinds: all_kinds(), handle, store, tokens, root, certificates, writing: Arc::default() }
    }

    /// The same, telling of these certificates in its status.
    pub fn with_certificates(self, certificates: OwnCertificates) -> Self {
        Self { certificates, ..self }
    }

    /// Takes out a registration whose proxy is gone: by whoever may use the API, for it cannot do so itself.
    async fn withdraw(&self, target: &ObjectTarget, body: &str) -> Result<Value, ApiError> {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let Some(uid) = body["uid"].as_str().map(ToOwned::to_owned) else {
            return Err(ApiError::BadRequest(
                "send {\"uid\": NAME}, a name as `leno status` shows it".into(),
            ));
        };
        let (namespace, group) = (target.namespace.clone(), target.name.clone());
        let taken_out = self.handle.run(move |plane, _| {
            let known = plane.presence.find(&uid);
            if known.is_none_or(|known| *known.namespace != *namespace || *known.group != *group) {
                return Err(ApiError::NotFound(format!("registration {uid}")));
            }
            if plane.presence.streams(&uid) > 0 {
                let text = format!(
                    "{uid} is connected; stop its proxy, which withdraws it and waits for its callers"
                );
                return Err(ApiError::BadRequest(text));
            }
            plane.withdraw_gone(&uid);
            Ok(json!({ "uid": uid }))
        });
        taken_out.await.map_err(stopping)?
    }
}

/// Every kind in every version that is read.
fn all_kinds() -> Vec<ServedKind> {
    let versions = |kind: &'static ObjectKind| {
        let scope = if kind.namespaced { KindScope::Namespaced } else { KindScope::Cluster };
        kind.versions.iter().map(move |version| ServedKind {
            group: kind.group,
            version,
            kind: kind.kind,
            plural: kind.plural,
            scope,
        })
    };
    kinds::ALL.iter().flat_map(versions).collect()
}

/// Runs store work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(cause) => Err(ApiError::Unavailable {
            what: "the store's thread failed".into(),
            cause: Some(Box::new(cause)),
        }),
    }
}

fn unstored(cause: impl std::error::Error + Send + Sync + 'static) -> ApiError {
    ApiError::Unavailable { what: "the change could not be stored".into(), cause: Some(Box::new(cause)) }
}

fn stopping(cause: Ended) -> ApiError {
    ApiError::Unavailable { what: cause.to_string(), cause: None }
}

fn item(object: &Object, revision: u64) -> Item {
    Item { value: api::parse::value(object), revision }
}

/// The one object of a body, checked to be the one that the path names.
fn parse_body(target: &ObjectTarget, body: &str) -> Result<(Object, Vec<Finding>), ApiError> {
    let (mut objects, findings) = api::parse::documents(body, "");
    if findings.iter().any(|finding| finding.code.level() == Severity::Error) {
        return Err(ApiError::Invalid(findings));
    }
    let wanted = ObjectRef::new(target.kind.kind, &target.namespace, &target.name);
    let refuse = |cause: String| {
        let origin = Origin { object: wanted.clone(), file: "".into(), line: 1 };
        let fix = "send one object, of the kind, namespace and name of the path";
        ApiError::Invalid(vec![Finding::new(Code::BadValue, &origin, cause, fix)])
    };
    let object = match (objects.pop(), objects.is_empty()) {
        (Some(object), true) => object,
        (None, _) => return Err(refuse("the body holds no object".into())),
        (Some(_), false) => return Err(refuse("the body holds several objects".into())),
    };
    let same = object.object.kind == wanted.kind
        && (wanted.namespace.is_empty() || object.object.namespace == wanted.namespace)
        && (wanted.name.is_empty() || object.object.name == wanted.name);
    if !same {
        return Err(refuse(format!("the body is {}, the path names {wanted}", object.object)));
    }
    Ok((object, findings))
}

/// The objects of a batch, each text one of them.
fn parse_batch(batch: Batch) -> Result<WantedChange, ApiError> {
    let (mut put, mut findings, mut broken) = (Vec::new(), Vec::new(), false);
    for (at, text) in batch.apply.iter().enumerate() {
        let (mut objects, found) = api::parse::documents(text, "");
        broken |= found.iter().any(|finding| finding.code.level() == Severity::Error);
        findings.extend(found);
        match (objects.pop(), objects.is_empty()) {
            (Some(object), true) => put.push(object),
            (None, _) if broken => {}
            _ => {
                let what = format!("text {at} of the batch is not one object of a kind that is read");
                return Err(ApiError::BadRequest(what));
            }
        }
    }
    if broken {
        return Err(ApiError::Invalid(findings));
    }
    let named = |target: &ObjectTarget| ObjectRef::new(target.kind.kind, &target.namespace, &target.name);
    let gone = batch.delete.iter().map(named).collect();
    Ok(WantedChange { put, gone, findings, intent: batch.intent })
}

impl Backend for ClusterApi {
    fn kinds(&self) -> &[ServedKind] {
        &self.kinds
    }

    async fn list(&self, kind: ServedKind, namespace: Option<String>) -> Result<Vec<Item>, ApiError> {
        let list = self.handle.run(move |plane, _| {
            let wanted = |object: &ObjectRef| {
                *object.kind == *kind.kind
                    && namespace.as_deref().is_none_or(|namespace| *object.namespace == *namespace)
            };
            let found = plane.world.objects().filter(|found| wanted(&found.object));
            let revision = |object: &ObjectRef| plane.objects.find(object).map_or(0, |(_, of)| of.revision);
            found.map(|found| (Arc::clone(found), revision(&found.object))).collect::<Vec<_>>()
        });
        let list = list.await.map_err(stopping)?;
        // Not by the plane's task: each text is read again.
        blocking(move || Ok(list.iter().map(|(object, revision)| item(object, *revision)).collect())).await
    }

    async fn apply(&self, target: ObjectTarget, body: String) -> Result<Applied, ApiError> {
        // Reading may take a while: expressions are compiled.
        let (object, findings) = blocking(move || parse_body(&target, &body)).await?;
        let wanted = WantedChange { put: vec![object], findings, ..WantedChange::default() };
        let Made { changed, objects } = self.make(wanted).await.map_err(change::one)?;
        let Changed { revision, applied, findings, .. } = changed;
        let change = applied.first().map_or(Applies::Updated, |(_, change)| *change);
        let value = objects.first().map(|object| api::parse::value(object)).unwrap_or_default();
        Ok(Applied { item: Item { value, revision }, change, findings })
    }

    async fn change(&self, batch: Batch) -> Result<Changed, ApiError> {
        let wanted = blocking(move || parse_batch(batch)).await?;
        self.make(wanted).await.map(|made| made.changed).map_err(change::one)
    }

    async fn delete(&self, target: ObjectTarget) -> Result<(), ApiError> {
        let object = ObjectRef::new(target.kind.kind, &target.namespace, &target.name);
        let wanted = WantedChange { gone: vec![object], ..WantedChange::default() };
        let changed = self.make(wanted).await.map_err(change::one)?.changed;
        match changed.missing.first() {
            Some(missing) => Err(ApiError::NotFound(missing.to_string())),
            None => Ok(()),
        }
    }

    async fn call(&self, target: ObjectTarget, subresource: String, body: String) -> Result<Value, ApiError> {
        if target.kind.kind == "WorkloadGroup" && subresource == "withdraw" {
            return self.withdraw(&target, &body).await;
        }
        if target.kind.kind != "WorkloadGroup" || subresource != "token" {
            return Err(ApiError::NotFound(format!("{}/{}/{subresource}", target.kind.plural, target.name)));
        }
        let (namespace, name) = (target.namespace.clone(), target.name.clone());
        let known = self.handle.run(move |plane, _| plane.world.group(&namespace, &name).is_some());
        if !known.await.map_err(stopping)? {
            return Err(ApiError::NotFound(format!("WorkloadGroup/{}.{}", target.name, target.namespace)));
        }
        let Some(root) = (self.root)() else {
            return Err(ApiError::Unavailable {
                what: "there is no signing certificate yet".into(),
                cause: None,
            });
        };
        let binding = Binding { namespace: target.namespace.into(), group: target.name.into() };
        let tokens = self.tokens.clone();
        let issued = blocking(move || tokens.issue(&binding, root).map_err(not_issued)).await?;
        let expires = UNIX_EPOCH + Duration::from_secs(issued.expires_s);
        Ok(json!({ "token": issued.text, "expires": rfc3339(expires) }))
    }

    fn state(&self) -> (StatePlane, Arc<dyn Store>) {
        (StatePlane::Control, self.store.clone())
    }

    async fn report(&self, name: String) -> Option<Value> {
        let held = (self.certificates)();
        let report = self.handle.run(move |plane, now| status::report(&name, plane, &held, now));
        report.await.ok().flatten()
    }
}

fn not_issued(cause: TokenError) -> ApiError {
    match cause {
        TokenError::TooMany => ApiError::TooMany(cause.to_string()),
        cause => {
            ApiError::Unavailable { what: "no token could be issued".into(), cause: Some(Box::new(cause)) }
        }
    }
}

#[cfg(test)]
mod tests;
