//! The one ordered list of stages, and why each stands where it does. A [`crate::Chain`] sorts by it; the
//! proxy's own stages still stand in `flow` by hand.
//!
//! A stage exists here before anything fills it, so that a later filter does not move an earlier one. On the
//! way back responses pass the same stages in reverse.

/// A place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Validates, strips hop-by-hop and protected header fields, makes the path canonical.
    Hygiene,
    /// Answers preflight requests of browsers (not filled yet).
    Cors,
    /// Proves end users: JWT, OIDC, API keys (not filled yet).
    Authentication,
    /// Asks `decide::authz`.
    Authorization,
    /// Asks an external authorization service (not filled yet).
    ExternalAuthorization,
    /// Counts against rates (not filled yet).
    RateLimit,
    /// Inspects content: WAF, DLP (not filled yet).
    Inspection,
    /// Users' plugins (not filled yet).
    Wasm,
    /// Answers with the rule's redirect.
    Redirect,
    /// Edits header fields as the rule says.
    HeaderEdits,
    /// Rewrites host and path as the rule says.
    Rewrite,
}

/// A stage and the reason for its position.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Which.
    pub stage: Stage,
    /// Why not earlier and not later.
    pub why: &'static str,
}

/// Every stage once, first to last.
pub const ORDER: &[Position] = &[
    at(
        Stage::Hygiene,
        "first: whatever is decided must be decided on the canonical message that is forwarded",
    ),
    at(Stage::Cors, "before identity: browsers send preflight requests without credentials"),
    at(Stage::Authentication, "before authorization, which asks for its claims"),
    at(
        Stage::Authorization,
        "before anything that costs or can be seen from outside; on the path as received",
    ),
    at(Stage::ExternalAuthorization, "after our own policy, so that what it denies costs no call"),
    at(Stage::RateLimit, "after identity, by which it counts; denied requests use up nobody's rate"),
    at(Stage::Inspection, "after the rate limit, because looking into content is what costs most"),
    at(Stage::Wasm, "after every check of ours, so that a plugin can neither skip nor see what was denied"),
    at(Stage::Redirect, "after all checks: a location must not tell a stranger what exists"),
    at(
        Stage::HeaderEdits,
        "after the redirect, which needs no edits; before the rewrite, which changes the host",
    ),
    at(Stage::Rewrite, "last: nothing above may see a path that the caller did not ask for"),
];

const fn at(stage: Stage, why: &'static str) -> Position {
    Position { stage, why }
}

/// The stages in order.
pub fn stages() -> impl DoubleEndedIterator<Item = Stage> {
    ORDER.iter().map(|position| position.stage)
}
