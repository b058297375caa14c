//! Where two readings of the same bytes differ.

use crate::understanding::{TakenMessage, Understanding, host_name};

/// How codec's reading differs from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// codec panics or hangs, which nothing explains.
    Failure,
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

/// All differences of two readings of messages that each have their place. Of those that come one after the other
/// only the first counts.
pub(crate) fn in_order(ours: &Understanding, theirs: &Understanding, detail: Detail) -> Vec<Kind> {
    let len = ours.taken.len().max(theirs.taken.len());
    let kinds = (0..len).filter_map(|at| match (ours.whole(at), theirs.whole(at)) {
        (None, None) => None,
        (None, Some(_)) => Some(Kind::Stricter),
        (Some(_), None) => Some(Kind::Laxer),
        (Some(ours), Some(theirs)) => of_messages(ours, theirs, detail),
    });
    kinds.collect()
}

/// All differences of two readings of messages in streams of their own, of which one may be refused beside others.
pub(crate) fn in_streams(ours: &Understanding, theirs: &Understanding) -> Vec<Kind> {
    let whole = |reading: &Understanding| -> Vec<TakenMessage> {
        reading.taken.iter().filter(|message| message.is_whole).cloned().collect()
    };
    let (mut ours, mut theirs) = (whole(ours), whole(theirs));
    ours.retain(|message| !take_first(&mut theirs, |other| other == message));
    let mut kinds: Vec<Kind> = ours
        .iter()
        .map(|message| {
            let alike = theirs.iter().position(|other| {
                (&other.start, &other.host, &other.body) == (&message.start, &message.host, &message.body)
            });
            let alike = alike.map(|at| theirs.remove(at));
            alike.and_then(|other| of_messages(message, &other, Detail::Exact)).unwrap_or(Kind::Laxer)
        })
        .collect();
    kinds.extend(theirs.iter().map(|_| Kind::Stricter));
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Removes the first that `is_it`, if there is one.
fn take_first(messages: &mut Vec<TakenMessage>, is_it: impl Fn(&TakenMessage) -> bool) -> bool {
    let at = messages.iter().position(is_it);
    at.map(|at| messages.remove(at)).is_some()
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
