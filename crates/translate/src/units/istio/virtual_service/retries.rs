//! Retries that a `VirtualService` asks for and does not get: what may have arrived goes again by idempotent methods alone
//! (decision 0002).

use model::route::{RetryCondition, RetryPolicy, RouteRule, StringMatch};
use model::{Code, Finding};
use std::sync::Arc;

/// Told once, of the first rule that asks so for requests of whichever method.
pub(super) fn finding(rules: &[Arc<RouteRule>]) -> Option<Finding> {
    let asks = |rule: &&Arc<RouteRule>| {
        rule.retry.as_deref().is_some_and(asks_after_arrival) && !is_for_idempotent_alone(rule)
    };
    let first = rules.iter().filter(asks).min_by_key(|rule| rule.index)?;
    let cause = "`retryOn` of its routes names ends of requests that may have arrived, and nothing of that has an effect \
                 on POST, PATCH and other methods that are not idempotent: they would be carried out twice";
    let fix = "match idempotent methods in routes with such retries (GET, HEAD, OPTIONS, TRACE, PUT, DELETE), or name \
               connect-failure and refused-stream, which hold for all";
    Some(Finding::new(Code::Ignored, &first.origin, cause, fix))
}

fn asks_after_arrival(policy: &RetryPolicy) -> bool {
    let is_after = |condition: &RetryCondition| {
        matches!(
            condition,
            RetryCondition::ServerError
                | RetryCondition::GatewayError
                | RetryCondition::Reset
                | RetryCondition::Retriable4xx
                | RetryCondition::RetriableStatusCodes
        )
    };
    policy.attempts > 0 && policy.conditions.iter().flatten().any(is_after)
}

/// RFC 9110 section 9.2.2.
fn is_for_idempotent_alone(rule: &RouteRule) -> bool {
    let is_idempotent = |method: &StringMatch| match method {
        StringMatch::Exact(method) => {
            matches!(&**method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
        }
        _ => false,
    };
    !rule.matches.is_empty() && rule.matches.iter().all(|one| one.method.as_ref().is_some_and(is_idempotent))
}
