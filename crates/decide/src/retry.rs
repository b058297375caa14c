//! Whether a failed attempt is followed by another.
//!
//! The rule above all: once bytes of a request that is not idempotent may have reached an application, it is
//! never sent again, whatever a policy says, but for a call of gRPC that its callee answered before any message with a
//! status which the rule names (gRFC A6: it has not begun). All that goes again is within the service's budget (`budget`), except
//! what no application works on and what has somewhere better to go: refusing that would lose it for nothing. Who
//! calls this asks `balance` for an endpoint not tried yet.

#[cfg(test)]
mod tests;

use crate::Dice;
use crate::retry_budget::Budget;
use model::Reason;
use model::reason::Retry;
use model::route::{RetryCondition, RetryPolicy};
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
    /// With a response without any message, of this status of gRPC.
    Grpc(u16),
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
        Outcome::Status(status) => !policy.is_some_and(|policy| names_status(policy, status)),
        Outcome::Grpc(status) => !policy.is_some_and(|policy| names_grpc_status(policy, status)),
    }
}

/// Whether a policy cares for the statuses of gRPC.
pub fn asks_grpc_status(policy: &RetryPolicy) -> bool {
    let mut conditions = policy.conditions.iter().flatten();
    conditions.any(|condition| grpc_status(*condition).is_some())
}

fn names_status(policy: &RetryPolicy, status: u16) -> bool {
    let is_code = || policy.codes.contains(&status);
    let Some(conditions) = &policy.conditions else { return is_code() };
    conditions.iter().any(|condition| match condition {
        RetryCondition::ServerError => (500..=599).contains(&status),
        RetryCondition::GatewayError => matches!(status, 502..=504),
        RetryCondition::Retriable4xx => status == 409,
        RetryCondition::RetriableStatusCodes => is_code(),
        _ => false,
    })
}

fn names_grpc_status(policy: &RetryPolicy, status: u16) -> bool {
    policy.conditions.iter().flatten().any(|condition| grpc_status(*condition) == Some(status))
}

/// The status of gRPC that a condition is about.
fn grpc_status(condition: RetryCondition) -> Option<u16> {
    match condition {
        RetryCondition::GrpcCancelled => Some(1),
        RetryCondition::GrpcDeadlineExceeded => Some(4),
        RetryCondition::GrpcResourceExhausted => Some(8),
        RetryCondition::GrpcInternal => Some(13),
        RetryCondition::GrpcUnavailable => Some(14),
        _ => None,
    }
}

/// Whether a policy lets go again what ended without a response and may have arrived, as Envoy's does.
fn names_resets(policy: &RetryPolicy) -> bool {
    use RetryCondition::{GatewayError, Reset, ServerError};
    let Some(conditions) = &policy.conditions else { return true };
    conditions.iter().any(|condition| matches!(condition, Reset | ServerError | GatewayError))
}

/// Whether it may be repeated at all.
fn may_repeat(attempt: &Attempt<'_>) -> bool {
    match attempt.outcome {
        // This endpoint has been waited for already.
        Outcome::Failed(Reason::UpstreamOverflow) => attempt.ahead == Ahead::Fresh,
        Outcome::Failed(reason) => match reason.row().retry {
            Retry::Safe => true,
            Retry::IfIdempotent => is_idempotent(attempt.method) && attempt.policy.is_none_or(names_resets),
            Retry::IfConfigured => is_idempotent(attempt.method) && attempt.policy.is_some_and(names_resets),
            Retry::Never => false,
        },
        // A status proves that the application has seen the request.
        Outcome::Status(_) => is_idempotent(attempt.method) && !is_final(attempt.policy, attempt.outcome),
        Outcome::Grpc(_) => !is_final(attempt.policy, attempt.outcome),
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
