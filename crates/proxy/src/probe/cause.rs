//! Why a probe failed, in words for people.

use std::io;

/// An error of the system without its number.
pub(super) fn plain(error: &io::Error) -> String {
    match error.kind() {
        // Of TLS, which says more than its kind.
        io::ErrorKind::Other | io::ErrorKind::InvalidData => error.to_string(),
        kind => kind.to_string(),
    }
}
