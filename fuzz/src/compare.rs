//! Where two readings of the same bytes differ.

use crate::understanding::{TakenMessage, Understanding, host_name};

/// How codec's reading differs from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// codec panics, which nothing explains.
    Panic,
    /// The other took a message where codec took none.
    Stricter,
    /// codec took a message where the other took none.
    Laxer,
    /// Method, target or status.
    Start,
    Host,
    Fields,
    Body,
}

/// What of the readings is held against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The host as it was sent.
    Exact,
    /// The host without port, in lower case: the other makes it so.
    HostName,
}

/// The first difference of two readings of messages that come one after the other.
pub(crate) fn in_order(ours: &Understanding, theirs: &Understanding, detail: Detail) -> Option<Kind> {
    let len = ours.taken.len().max(theirs.taken.len());
    (0..len).find_map(|at| match (ours.whole(at), theirs.whole(at)) {
        (None, None) => None,
        (None, Some(_)) => Some(Kind::Stricter),
        (Some(_), None) => Some(Kind::Laxer),
        (Some(ours), Some(theirs)) => of_messages(ours, theirs, detail),
    })
}

/// The difference of two readings of messages in streams of their own, of which one may be refused beside others.
pub(crate) fn in_streams(ours: &Understanding, theirs: &Understanding) -> Option<Kind> {
    let whole = |reading: &Understanding| -> Vec<TakenMessage> {
        reading.taken.iter().filter(|message| message.is_whole).cloned().collect()
    };
    let (mut ours, mut theirs) = (whole(ours), whole(theirs));
    ours.retain(|message| match theirs.iter().position(|other| other == message) {
        Some(at) => {
            theirs.remove(at);
            false
        }
        None => true,
    });
    match (ours.first(), theirs.first()) {
        (None, None) => None,
        (None, Some(_)) => Some(Kind::Stricter),
        (Some(_), None) => Some(Kind::Laxer),
        (Some(ours), Some(theirs)) => of_messages(ours, theirs, Detail::Exact),
    }
}

fn of_messages(ours: &TakenMessage, theirs: &TakenMessage, detail: Detail) -> Option<Kind> {
    let has_other_host = match detail {
        Detail::Exact => ours.host != theirs.host,
        Detail::HostName => host_name(&ours.host) != host_name(&theirs.host),
    };
    let has_other_fields = match (&ours.fields, &theirs.fields) {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => false,
    };
    if ours.start != theirs.start {
        Some(Kind::Start)
    } else if has_other_host {
        Some(Kind::Host)
    } else if ours.body != theirs.body {
        Some(Kind::Body)
    } else if has_other_fields {
        Some(Kind::Fields)
    } else {
        None
    }
}
