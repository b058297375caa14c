//! Whether a failed attempt is followed by another.
//!
//! The rule above all: once bytes of a request that is not idempotent may have reached an application, it is
//! never sent again, whatever a policy says. All that goes again is within the service's budget (`budget`), except
//! what no application works on and what has somewhere better to go: refusing that would lose it for nothing. Who
//! calls this asks `balance` for an endpoint not tried yet.

#[cfg(test)]
mod tests;

use crate::Dice;
use crate::retry_budget::Budget;
use model::Reason;
use model::reason::Retry;
use model::route::RetryPolicy;
use std::time::Duration;

/// Longest wait before any further attempt.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after this long.
    Again {
        /// Zero: at once.
        after: Duration,
    },
    /// The last outcome is the answer.
    GiveUp,
    /// So it is, but only because of this: [`Reason::RetriesExhausted`], [`Reason::RetryBudgetExhausted`].
    Limited(Reason),
}

/// What a further attempt would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// An endpoint that was not tried yet and that nothing speaks against; or the same one over a new connection,
    /// where an old one had ended.
    Fresh,
    /// One that failed lately.
    Failed,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Without a usable response.
    Failed(Reason),
    /// With a response of this status, of which nothing was passed on yet.
    Status(u16),
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The rule's policy.
    pub policy: Option<&'a RetryPolicy>,
    /// Method.
    pub method: &'a str,
    /// 1 for the first.
    pub number: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the request can be sent again from its first byte to its last.
    pub replayable: bool,
    /// Where it would go.
    pub ahead: Ahead,
    /// What is left of the service's budget.
    pub budget: Budget,
}

/// Decides on a further attempt.
pub fn decide(attempt: &Attempt<'_>, dice: &mut dyn Dice) -> Next {
    if !attempt.replayable || !may_repeat(attempt) {
        return Next::GiveUp;
    }
    let further_max = attempt.policy.map_or(RetryPolicy::ATTEMPTS_DEFAULT, |policy| policy.attempts);
    if attempt.number > further_max {
        // Who allows none is not told that there were too many.
        return if further_max == 0 { Next::GiveUp } else { Next::Limited(Reason::RetriesExhausted) };
    }
    if attempt.budget == Budget::Spent && !is_free(attempt) {
        return Next::Limited(Reason::RetryBudgetExhausted);
    }
    Next::Again { after: wait(attempt, dice) }
}

/// Whether an attempt that ended so is the last one whatever else is known of it, as most are: then nobody need find
/// out what lies ahead and what is left of the budget.
pub fn is_final(policy: Option<&RetryPolicy>, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failed(_) => false,
        Outcome::Status(status) => !policy.is_some_and(|policy| policy.codes.contains(&status)),
    }
}

/// Whether it may be repeated at all.
fn may_repeat(attempt: &Attempt<'_>) -> bool {
    match attempt.outcome {
        // This endpoint has been waited for already.
        Outcome::Failed(Reason::UpstreamOverflow) => attempt.ahead == Ahead::Fresh,
        Outcome::Failed(reason) => match reason.row().retry {
            Retry::Safe => true,
            Retry::IfIdempotent => is_idempotent(attempt.method),
            Retry::IfConfigured => is_idempotent(attempt.method) && attempt.policy.is_some(),
            Retry::Never => false,
        },
        // A status proves that the application has seen the request.
        Outcome::Status(_) => is_idempotent(attempt.method) && !is_final(attempt.policy, attempt.outcome),
    }
}

/// Whether it goes again even when the budget is spent: it puts no load on any application that is there, and what
/// failed is ejected, so that this cannot go on.
fn is_free(attempt: &Attempt<'_>) -> bool {
    let Outcome::Failed(reason) = attempt.outcome else { return false };
    // All that waited for a host that froze or vanished come at once; it works on none of them any more.
    let is_idle = reason.row().retry == Retry::Safe || reason == Reason::UpstreamSilent;
    is_idle && attempt.ahead == Ahead::Fresh
}

/// RFC 9110 section 9.2.2.
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

fn wait(attempt: &Attempt<'_>, dice: &mut dyn Dice) -> Duration {
    let base = match attempt.policy {
        Some(policy) => policy.backoff,
        // Another endpoint is waiting, so go at once; without any endpoint only time can help.
        None if attempt.number <= 1 && attempt.outcome != Outcome::Failed(Reason::NoEndpoint) => {
            return Duration::ZERO;
        }
        None => RetryPolicy::BACKOFF_DEFAULT,
    };
    let doubled = base.saturating_mul(1 << attempt.number.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    let jitter = Duration::from_micros(dice.below((doubled.as_micros() / 2) as u64));
    (doubled + jitter).min(BACKOFF_MAX)
}
