//! Differences that are known and wanted, one row each. `docs/http-differences.md` tells the reasons at length.

mod http1; // hyper, nginx, HAProxy
mod http2; // the h2 crate

use crate::case::Case;
use crate::compare::Kind;
use crate::understanding::Understanding;

/// Whose reading codec's is held against, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Other {
    HyperServer,
    HyperClient,
    Nginx,
    HaProxy,
    H2Server,
    H2Client,
}

/// A difference that was found.
pub(crate) struct Difference<'a> {
    pub(crate) case: &'a Case,
    pub(crate) other: Other,
    pub(crate) kind: Kind,
    pub(crate) ours: &'a Understanding,
    pub(crate) theirs: &'a Understanding,
}

/// A class of differences, and why it is right.
pub(crate) struct Class {
    /// As in the table of the document.
    pub(crate) name: &'static str,
    others: &'static [Other],
    kinds: &'static [Kind],
    is_it: fn(&Difference<'_>) -> bool,
}

/// All classes.
pub(crate) fn classes() -> impl Iterator<Item = &'static Class> {
    http1::CLASSES.iter().chain(http2::CLASSES)
}

/// The class that explains `difference`: the first that fits.
pub(crate) fn explain(difference: &Difference<'_>) -> Option<&'static Class> {
    classes().find(|class| {
        class.others.contains(&difference.other)
            && class.kinds.contains(&difference.kind)
            && (class.is_it)(difference)
    })
}
