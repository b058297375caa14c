//! What to say of a reference to an object that is not there.

use super::WorldReader;
use model::ObjectRef;

/// Cause and fix: it may be written, and refused.
pub(super) fn about_missing(target: &ObjectRef, cause: String, read: &WorldReader<'_>) -> (String, String) {
    match read.refused(target) {
        Some(origin) if origin.file.is_empty() => {
            (format!("{target} was refused, so it is not in force"), "correct that object".to_owned())
        }
        Some(origin) => {
            let fix = format!("correct that object ({}:{})", origin.file, origin.line);
            (format!("{target} was refused, so it is not in force"), fix)
        }
        None => (cause, nearest(target, read)),
    }
}

/// The object of this kind and namespace with the nearest name.
fn nearest(target: &ObjectRef, read: &WorldReader<'_>) -> String {
    let names = read.names(&target.kind, Some(&target.namespace));
    let known: Vec<&str> = names.into_iter().map(|name| &**name).collect();
    match api::suggest::nearest(&target.name, &known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("create {target} or correct the name"),
    }
}
