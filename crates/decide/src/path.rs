//! The one canonical path.

use model::Reason;
use std::borrow::Cow;

/// Canonicalises a path.
///
/// # Errors
/// [`Reason::BadPath`].
pub fn canonical(raw: &str) -> Result<Cow<'_, str>, Reason> {
    if raw.starts_with('/') { Ok(Cow::Borrowed(raw)) } else { Err(Reason::BadPath) }
}
