//! Lines in the log of who changed what over the API, and who was not permitted to. Never what was sent.

use crate::access::{AccessDenied, ApiVerb};
use crate::caller::ApiCaller;
use daemon::repeated::Repeated;
use model::ObjectRef;
use std::fmt::Display;
use std::time::Instant;

/// Objects of one change that stand in one line; more get further lines.
const OBJECTS_PER_LINE: usize = 100;

static DENIED: Repeated = Repeated::new();

/// One thing was changed or made.
pub(crate) fn done(caller: &ApiCaller, verb: ApiVerb, object: impl Display) {
    tracing::info!(user = %caller.user, role = %caller.role, %verb, %object, "API write");
}

/// Several objects were changed at once.
pub(crate) fn done_all<'a>(
    caller: &ApiCaller,
    verb: ApiVerb,
    objects: impl ExactSizeIterator<Item = &'a ObjectRef>,
) {
    let objects: Vec<String> = objects.map(ToString::to_string).collect();
    for some in objects.chunks(OBJECTS_PER_LINE) {
        done(caller, verb, some.join(", "));
    }
}

/// Something was not permitted.
pub(crate) fn denied(caller: &ApiCaller, object: impl Display, why: &AccessDenied<'_>) {
    if let Some(held_back) = DENIED.admit(Instant::now()) {
        tracing::warn!(user = %caller.user, role = %caller.role, %object, %why, held_back, "API call denied");
    }
}
