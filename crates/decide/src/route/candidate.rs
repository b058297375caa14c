//! What may be followed if its conditions hold, and in which order: one match of one rule.

use super::SourceWorkload;
use super::conditions::Conditions;
use crate::RequestView;
use model::route::{PathMatch, Precedence};
use std::cmp::Reverse;
use std::sync::Arc;

/// A match on its way into a group.
#[derive(Clone)]
pub(super) struct FiledMatch<'r> {
    pub(super) path: &'r PathMatch,
    pub(super) candidate: Candidate,
    pub(super) precedence: Precedence,
    /// Smaller goes first among candidates of one path, where what is more specific counts.
    pub(super) order: Order<'r>,
}

/// Gateway API's precedence below the path: a method, more headers, more query parameters, the older route, its
/// namespace and name, the rule's and the match's place.
type Order<'r> = (Reverse<bool>, Reverse<usize>, Reverse<usize>, u64, &'r str, &'r str, u32, usize);

/// What is followed if its conditions hold.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Index into the table's rules.
    pub(super) rule: u32,
    /// Service port; 0: any.
    pub(super) port: u16,
    /// Place of the match in its rule, of those above 65535 the same.
    pub(super) place: u16,
    /// `None`: they hold always.
    pub(super) conditions: Option<Arc<Conditions>>,
}

/// Of one path, the first one whose conditions hold is followed.
pub(super) type Candidates = Box<[Candidate]>;

/// What a request is looked up by, beside its path.
#[derive(Clone, Copy)]
pub(super) struct RouteQuery<'q> {
    pub(super) port: u16,
    /// At this port GRPCRoutes count alone.
    pub(super) is_for_calls: bool,
    pub(super) source: &'q SourceWorkload<'q>,
    pub(super) request: &'q RequestView<'q>,
}

impl Candidate {
    pub(super) fn holds(&self, asked: &RouteQuery<'_>) -> bool {
        (self.port == 0 || self.port == asked.port)
            && self
                .conditions
                .as_ref()
                .is_none_or(|conditions| conditions.hold(asked.port, asked.source, asked.request))
    }

    /// What was written earlier is less.
    pub(super) fn written_at(&self) -> (u32, u16) {
        (self.rule, self.place)
    }
}

/// The first one whose conditions hold.
pub(super) fn first<'c>(candidates: &'c Candidates, asked: &RouteQuery<'_>) -> Option<&'c Candidate> {
    candidates.iter().find(|candidate| candidate.holds(asked))
}
