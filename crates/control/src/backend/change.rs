//! Changes of the API's objects: several are one, made at one moment or not at all.
//!
//! They are first tried on the world, then stored, then brought into force. An object about which the world finds
//! an error is refused: it would be reported, and do something else than it says.

use super::{ClusterApi, blocking, stopping, unstored};
use crate::plane::Plane;
use crate::source::applied;
use crate::source::id::SourceId;
use crate::source::objects::SourceObject;
use crate::strict::Witness;
use api::{Object, Spec};
use apiserver::backend::{ApiError, Applies, ChangeIntent, Changed, ObjectTarget, ServedKind};
use model::{Code, Finding, ObjectRef, Severity};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;
use translate::{World, WorldChange};

/// What shall be done.
#[derive(Default)]
pub(super) struct WantedChange {
    /// Objects to be created or replaced, each once.
    pub(super) put: Vec<Object>,
    /// Objects to be deleted.
    pub(super) gone: Vec<ObjectRef>,
    /// What was found in their texts.
    pub(super) findings: Vec<Finding>,
    /// How it is meant.
    pub(super) intent: ChangeIntent,
}

/// What can be done.
struct CheckedChange {
    put: Vec<Arc<Object>>,
    gone: Vec<ObjectRef>,
    missing: Vec<ObjectRef>,
    findings: Vec<Finding>,
}

/// What was done, and the objects that were applied, as they are now.
pub(super) struct Made {
    pub(super) changed: Changed,
    pub(super) objects: Vec<Arc<Object>>,
}

impl ClusterApi {
    /// Checks, stores and makes changes. All that is wrong with them is told at once.
    pub(super) async fn make(&self, wanted: WantedChange) -> Result<Made, Vec<ApiError>> {
        let writing = self.writing.clone().lock_owned().await;
        let (kinds, now_s) = (self.kinds.clone(), self.tokens.now_s());
        let intent = wanted.intent;
        let checked = self.handle.run(move |plane, now| check(plane, wanted, &kinds, now_s, now.wall)).await;
        let checked = checked.map_err(|ended| vec![stopping(ended)])??;
        if intent == ChangeIntent::Try {
            let changed =
                Changed { missing: checked.missing, findings: checked.findings, ..Changed::default() };
            return Ok(Made { changed, objects: Vec::new() });
        }
        let put = checked.put.iter().map(|object| applied::put(object));
        let mut rows = put.collect::<Result<Vec<_>, _>>().map_err(|cause| vec![unstored(cause)])?;
        rows.extend(checked.gone.iter().map(applied::delete));
        let (store, handle) = (self.store.clone(), self.handle.clone());
        // Both, even when the caller hangs up in between: what is stored and not in force would show at the
        // next start, as a surprise.
        let work = move || {
            let _writing = writing;
            let revision = if rows.is_empty() { store.revision() } else { store.commit(&rows) };
            let revision = revision.map_err(unstored)?;
            handle.run_blocking(move |plane, _| take(plane, checked, revision)).map_err(stopping)
        };
        blocking(work).await.map_err(|refusal| vec![refusal])
    }
}

/// What several refusals come to: one of its own kind, else all that was found.
pub(super) fn one(mut refused: Vec<ApiError>) -> ApiError {
    if refused.len() == 1
        && let Some(only) = refused.pop()
    {
        return only;
    }
    let findings = |refusal| match refusal {
        ApiError::Invalid(findings) => findings,
        ApiError::ReadOnly(finding) | ApiError::Conflict { finding, .. } => vec![*finding],
        _ => Vec::new(),
    };
    ApiError::Invalid(refused.into_iter().flat_map(findings).collect())
}

/// What stands against the changes, and what they come to.
fn check(
    plane: &mut Plane,
    wanted: WantedChange,
    kinds: &[ServedKind],
    now_s: u64,
    now: SystemTime,
) -> Result<CheckedChange, Vec<ApiError>> {
    let WantedChange { mut put, gone, mut findings, intent } = wanted;
    let mut refused = contradictions(&put, &gone);
    refused.extend(put.iter().filter_map(unstorable));
    for object in &mut put {
        // What files say may be tried out here, too.
        if let (Err(read_only), true) = (check_writable(plane, &object.object), intent != ChangeIntent::Try) {
            refused.push(read_only);
        }
        let before = plane.objects.find_stored(&object.object);
        if let Err(stale) = check_version(kinds, object, before) {
            refused.push(stale);
        }
        applied::created_at(object, before.map_or(now_s, |stored| stored.object.meta.created));
    }
    let (gone, missing): (Vec<_>, Vec<_>) =
        gone.into_iter().partition(|object| plane.objects.find_stored(object).is_some());
    let of_files = missing.iter().map(|object| check_writable(plane, object));
    refused.extend(of_files.filter_map(Result::err));
    let put: Vec<Arc<Object>> = put.into_iter().map(Arc::new).collect();
    if refused.is_empty() {
        let mut found = try_out(plane, &put, &gone);
        if intent != ChangeIntent::Force {
            found.extend(shut_out(plane, &put, &gone, now));
        }
        if found.iter().any(|finding| finding.code.level() == Severity::Error) {
            findings.extend(found);
            refused.push(ApiError::Invalid(findings));
            return Err(refused);
        }
    }
    if refused.is_empty() { Ok(CheckedChange { put, gone, missing, findings }) } else { Err(refused) }
}

/// What would be wrong with these objects if they were in force, and those were gone. Nothing changes.
fn try_out(plane: &mut Plane, put: &[Arc<Object>], gone: &[ObjectRef]) -> Vec<Finding> {
    let changes = changes(plane, put, gone);
    plane.world.try_out(changes, |world| world.findings_about(put.iter().map(|object| &object.object)))
}

fn changes(plane: &Plane, put: &[Arc<Object>], gone: &[ObjectRef]) -> Vec<WorldChange> {
    // What another source says stays, whatever the API has under it.
    let of_api =
        |object: &&ObjectRef| plane.objects.find(object).is_some_and(|(source, _)| source == SourceId::Api);
    let gone = gone.iter().filter(of_api).cloned().map(WorldChange::ObjectGone);
    let put_in = put.iter().map(|object| WorldChange::Object(Arc::clone(object)));
    put_in.chain(gone).collect()
}

/// Whom these changes would shut out by making ports STRICT. Nothing changes.
fn shut_out(plane: &mut Plane, put: &[Arc<Object>], gone: &[ObjectRef], now: SystemTime) -> Vec<Finding> {
    let mut named = put.iter().map(|object| &object.object).chain(gone);
    // Labels of a group say which modes are for it.
    if !named.any(|object| matches!(&*object.kind, "PeerAuthentication" | "WorkloadGroup")) {
        return Vec::new();
    }
    let changes = changes(plane, put, gone);
    let Plane { world, presence, observed, .. } = plane;
    let witness = Witness::new(presence, observed, now);
    let before = witness.modes(world);
    let after = world.try_out(changes, |world: &mut World| witness.modes(world));
    witness.refusals(&before, &after)
}

/// What the API keeps it writes to a disk, where no key must be (`docs/decisions/0007`).
fn unstorable(object: &Object) -> Option<ApiError> {
    let Spec::Secret(_) = &object.spec else { return None };
    let cause = "a Secret is not taken over the API, which writes to a disk what it keeps";
    let fix = "put it into a file of the control plane's directory that its owner alone may read, or have the gateway \
               read files: options of `tls`";
    Some(ApiError::Invalid(vec![Finding::new(Code::Unsupported, &object.at(0), cause, fix)]))
}

/// Objects that are named twice: whatever was meant, something else might be done.
fn contradictions(put: &[Object], gone: &[ObjectRef]) -> Vec<ApiError> {
    let mut seen = BTreeSet::new();
    let mut refused = Vec::new();
    let named = put.iter().map(|object| (&object.object, object.at(0)));
    let nowhere = |object: &ObjectRef| model::Origin { object: object.clone(), file: "".into(), line: 1 };
    for (object, origin) in named.chain(gone.iter().map(|object| (object, nowhere(object)))) {
        if !seen.insert(object) {
            let cause = "the object is named twice in one change";
            let finding = Finding::new(Code::Duplicate, &origin, cause, "name it once");
            refused.push(ApiError::Invalid(vec![finding]));
        }
    }
    refused
}

/// Refuses changes of what comes from a file.
fn check_writable(plane: &Plane, object: &ObjectRef) -> Result<(), ApiError> {
    let Some(found) = plane.objects.find_read_only(object) else { return Ok(()) };
    let origin = &found.origin;
    let cause = format!("it is defined in {}:{}", origin.file, origin.line);
    let fix = format!("change {} instead", origin.file);
    Err(ApiError::ReadOnly(Box::new(Finding::new(Code::ReadOnly, origin, cause, fix))))
}

/// Brings into force what is stored, and says what came of it.
fn take(plane: &mut Plane, checked: CheckedChange, revision: u64) -> Made {
    let CheckedChange { put, gone, missing, mut findings } = checked;
    let before: BTreeSet<String> = plane.findings().iter().map(ToString::to_string).collect();
    let mut applied = Vec::new();
    let objects = put.clone();
    for object in put {
        let change = match plane.objects.find_stored(&object.object) {
            Some(_) => Applies::Updated,
            None => Applies::Created,
        };
        applied.push((object.object.clone(), change));
        plane.objects.store(object, revision);
    }
    for object in &gone {
        plane.objects.remove(object, revision);
    }
    let changed = applied.iter().map(|(object, _)| object).chain(&gone).cloned().collect();
    plane.sync_changed(&changed);
    let about: BTreeSet<&ObjectRef> = applied.iter().map(|(object, _)| object).collect();
    let is_about = |finding: &Finding| about.contains(&finding.origin.object);
    let news = plane.findings().iter();
    findings.extend(news.filter(|found| is_about(found) || !before.contains(&found.to_string())).cloned());
    Made { changed: Changed { revision, applied, deleted: gone, missing, findings }, objects }
}

/// Refuses a copy that is not of the object as it is stored; one that says no version may overwrite any.
fn check_version(
    kinds: &[ServedKind],
    object: &Object,
    stored: Option<&SourceObject>,
) -> Result<(), ApiError> {
    let Some(copied) = &object.meta.resource_version else { return Ok(()) };
    let now = match stored {
        Some(stored) if stored.revision.to_string() == copied.text => return Ok(()),
        Some(stored) => format!("the stored object's is {}", stored.revision),
        None => "there is no such object any more".to_owned(),
    };
    let cause = format!("`metadata.resourceVersion` is {}, and {now}", copied.text);
    let fix =
        "take a fresh copy with `leno get` and change that one, or remove `resourceVersion` to overwrite";
    let finding = Box::new(Finding::new(Code::Stale, &object.at(copied.line), cause, fix));
    let of =
        |kind: &&ServedKind| kind.kind == &*object.object.kind && kind.api_version() == *object.api_version;
    let Some(kind) = kinds.iter().find(of).copied() else { return Err(ApiError::Invalid(vec![*finding])) };
    let (namespace, name) = (object.meta.namespace.to_string(), object.meta.name.to_string());
    Err(ApiError::Conflict { target: Box::new(ObjectTarget { kind, namespace, name }), finding })
}
