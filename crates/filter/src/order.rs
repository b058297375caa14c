//! The stages of a request, in the order in which they run, and why each stands where it does.
//!
//! A stage is built in, or a place for filters. What runs in one place runs in the order of configuration.

/// Where a request is when it meets a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// It leaves a local application.
    Application,
    /// It comes in at a gateway's listener, from somebody without an identity.
    Edge,
    /// It has arrived at the callee's proxy.
    Callee,
}

/// What happens when a stage cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailMode {
    /// The request ends.
    Closed,
    /// It goes on as if the stage were not there.
    Open,
}

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Validation and normalisation; hop-by-hop and protected headers are taken out.
    Hygiene,
    /// `x-request-id`.
    RequestId,
    /// For filters: who calls, by more than a certificate (tokens).
    Authentication,
    /// Policies, and those that are not enforced (dry run).
    Authorization,
    /// The rule.
    Route,
    /// What the rule does to the request, and to the response on its way back.
    RuleFilters,
    /// For filters: what sees the request as it is sent.
    BeforeUpstream,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageRow {
    /// Which.
    pub stage: Stage,
    /// Where it runs.
    pub sides: &'static [Side],
    /// It takes filters; else it is built in.
    pub is_open_to_filters: bool,
    /// When it cannot tell.
    pub fail_mode: FailMode,
    /// Why it stands here.
    pub why: &'static str,
}

const ALL: &[Side] = &[Side::Application, Side::Edge, Side::Callee];

/// The table.
pub const ORDER: &[StageRow] = &[
    StageRow {
        stage: Stage::Hygiene,
        sides: ALL,
        is_open_to_filters: false,
        fail_mode: FailMode::Closed,
        why: "everything after it decides on one canonical request, and no claim of a stranger is taken for a proxy's",
    },
    StageRow {
        stage: Stage::RequestId,
        sides: &[Side::Application, Side::Edge],
        is_open_to_filters: false,
        fail_mode: FailMode::Closed,
        why: "what ends the request later is logged under its id",
    },
    StageRow {
        stage: Stage::Authentication,
        sides: &[Side::Edge, Side::Callee],
        is_open_to_filters: true,
        fail_mode: FailMode::Closed,
        why: "policies ask who calls, so what it finds, in header fields so far, must be there before",
    },
    StageRow {
        stage: Stage::Authorization,
        sides: &[Side::Edge, Side::Callee],
        is_open_to_filters: false,
        fail_mode: FailMode::Closed,
        why: "it judges what the caller asked for, not what a rule makes of it, and who may not call learns nothing of \
              the rules",
    },
    StageRow {
        stage: Stage::Route,
        sides: &[Side::Application, Side::Edge],
        is_open_to_filters: false,
        fail_mode: FailMode::Closed,
        why: "the filters of a rule are known by the rule",
    },
    StageRow {
        stage: Stage::RuleFilters,
        sides: &[Side::Application, Side::Edge],
        is_open_to_filters: false,
        fail_mode: FailMode::Closed,
        why: "they may answer the request, and then no backend is picked and no retry counted",
    },
    StageRow {
        stage: Stage::BeforeUpstream,
        sides: ALL,
        is_open_to_filters: true,
        fail_mode: FailMode::Closed,
        why: "who signs or counts what is sent must see it last",
    },
];

impl Stage {
    /// Its row.
    pub fn row(self) -> &'static StageRow {
        // The test below holds that each stage has one, at its place.
        &ORDER[self as usize]
    }
}

#[cfg(test)]
mod tests;
