//! Whether there is another attempt.

use super::{Ahead, Attempt, BACKOFF_MAX, Next, Outcome, asks_grpc_status, decide, is_final};
use crate::dice::Pcg;
use crate::retry_budget::Budget;
use Outcome::{Failed, Status};
use model::Reason;
use model::reason::Retry;
use model::route::{RetryCondition, RetryPolicy};
use std::time::Duration;

fn attempt<'a>(
    policy: Option<&'a RetryPolicy>,
    method: &'a str,
    number: u32,
    outcome: Outcome,
) -> Attempt<'a> {
    let (ahead, budget) = (Ahead::Failed, Budget::Left);
    Attempt { policy, method, number, outcome, replayable: true, ahead, budget }
}

/// Whether attempt `number` of `method`, ended by `outcome`, is repeated.
fn check(policy: Option<&RetryPolicy>, method: &str, number: u32, outcome: Outcome, expected: bool) {
    let attempt = attempt(policy, method, number, outcome);
    let next = decide(&attempt, &mut Pcg::new(1));
    assert_eq!(matches!(next, Next::Again { .. }), expected, "{attempt:?}");
    let consumed = Attempt { replayable: false, ..attempt };
    assert_eq!(decide(&consumed, &mut Pcg::new(1)), Next::GiveUp, "{consumed:?}");
}

fn policy(attempts: u32, codes: &[u16]) -> RetryPolicy {
    let backoff = Duration::from_millis(100);
    RetryPolicy { attempts, codes: codes.to_vec(), backoff, ..RetryPolicy::default() }
}

/// What is final by itself is never decided otherwise, and what a policy names is not final.
#[test]
fn what_is_final_needs_no_decision() {
    let policy = policy(5, &[503]);
    for policy in [None, Some(&policy)] {
        for outcome in [Status(200), Status(502), Status(503), Failed(Reason::Refused)] {
            let is_named = policy.is_some() && outcome == Status(503);
            let expected = matches!(outcome, Status(_)) && !is_named;
            assert_eq!(is_final(policy, outcome), expected, "{outcome:?}");
            if expected {
                let first = attempt(policy, "GET", 1, outcome);
                let next = decide(&Attempt { ahead: Ahead::Fresh, ..first }, &mut Pcg::new(1));
                assert_eq!(next, Next::GiveUp, "{outcome:?}");
            }
        }
    }
}

#[test]
fn what_reached_no_application_is_repeated_twice() {
    for number in 1..=2 {
        check(None, "POST", number, Failed(Reason::Refused), true);
        check(None, "GET", number, Failed(Reason::ConnectFailed), true);
    }
    check(None, "POST", 3, Failed(Reason::Refused), false);
}

#[test]
fn who_has_no_room_is_not_asked_again() {
    check(None, "GET", 1, Failed(Reason::UpstreamOverflow), false);
    let full = attempt(None, "POST", 1, Failed(Reason::UpstreamOverflow));
    let next = decide(&Attempt { ahead: Ahead::Fresh, ..full }, &mut Pcg::new(1));
    assert_eq!(next, Next::Again { after: Duration::ZERO });
}

#[test]
fn what_may_have_arrived_is_repeated_only_when_idempotent() {
    check(None, "GET", 1, Failed(Reason::UpstreamReset), true);
    check(None, "PUT", 1, Failed(Reason::UpstreamReset), true);
    check(None, "POST", 1, Failed(Reason::UpstreamReset), false);
    check(None, "get", 1, Failed(Reason::UpstreamReset), false);
    check(Some(&policy(5, &[503])), "POST", 1, Failed(Reason::UpstreamReset), false);
    check(Some(&policy(5, &[503])), "POST", 1, Status(503), false);
}

/// A malformed answer has been through an application, and a slow one is being worked on: more of the same is for
/// the owner of the route to ask for.
#[test]
fn what_was_answered_badly_or_late_is_repeated_only_when_asked_for() {
    for reason in [Reason::UpstreamProtocol, Reason::AttemptTimeout] {
        check(None, "GET", 1, Failed(reason), false);
        check(Some(&policy(2, &[])), "GET", 1, Failed(reason), true);
        check(Some(&policy(2, &[])), "POST", 1, Failed(reason), false);
    }
}

#[test]
fn a_policy_sets_number_and_codes() {
    let policy = policy(3, &[503]);
    check(Some(&policy), "GET", 3, Status(503), true);
    check(Some(&policy), "GET", 4, Status(503), false);
    check(Some(&policy), "GET", 1, Status(500), false);
    check(Some(&policy), "POST", 3, Failed(Reason::Refused), true);
    check(None, "GET", 1, Status(503), false);
}

#[test]
fn envoys_conditions_name_what_is_repeated() {
    use Outcome::Grpc;
    let on = |names: &str| {
        let conditions = names.split(',').map(|name| RetryCondition::by_name(name).unwrap()).collect();
        RetryPolicy { conditions: Some(conditions), ..policy(2, &[418]) }
    };
    for (names, outcome, expected) in [
        ("5xx", Status(500), true),
        ("5xx", Status(404), false),
        ("5xx", Failed(Reason::UpstreamReset), true),
        ("5xx", Failed(Reason::AttemptTimeout), true),
        ("gateway-error", Status(500), false),
        ("gateway-error", Status(504), true),
        ("retriable-4xx", Status(409), true),
        ("retriable-4xx", Status(404), false),
        ("retriable-status-codes", Status(418), true),
        ("connect-failure", Status(418), false),
        ("connect-failure", Failed(Reason::ConnectFailed), true),
        ("connect-failure,refused-stream", Failed(Reason::UpstreamReset), false),
        ("reset", Failed(Reason::UpstreamReset), true),
        // What reached nobody goes again whatever is named.
        ("retriable-4xx", Failed(Reason::Refused), true),
        ("unavailable", Grpc(14), true),
        ("unavailable,cancelled", Grpc(1), true),
        ("unavailable", Grpc(13), false),
        ("internal", Grpc(13), true),
        ("deadline-exceeded", Grpc(4), true),
        ("resource-exhausted", Grpc(8), true),
        ("5xx", Grpc(14), false),
    ] {
        check(Some(&on(names)), "GET", 1, outcome, expected);
        let is_post = matches!(outcome, Grpc(_) | Failed(Reason::ConnectFailed | Reason::Refused));
        check(Some(&on(names)), "POST", 1, outcome, expected && is_post);
    }
    assert!(asks_grpc_status(&on("5xx,unavailable")) && !asks_grpc_status(&on("5xx,reset")));
    check(None, "GET", 1, Grpc(14), false);
}

#[test]
fn no_attempts_means_none_even_when_safe() {
    check(Some(&policy(0, &[])), "GET", 1, Failed(Reason::Refused), false);
}

#[test]
fn no_reason_lets_a_delivered_post_through() {
    for reason in Reason::ALL.iter().filter(|reason| reason.row().retry != Retry::Safe) {
        check(None, "POST", 1, Failed(*reason), false);
    }
}

#[test]
fn waits_start_at_the_backoff_and_double() {
    let policy = policy(10, &[]);
    let wait = |policy, number, reason| match decide(
        &attempt(policy, "GET", number, Failed(reason)),
        &mut Pcg::new(1),
    ) {
        Next::Again { after } => after.as_millis(),
        _ => u128::MAX,
    };
    assert_eq!(wait(None, 1, Reason::ConnectFailed), 0);
    assert!((25..38).contains(&wait(None, 1, Reason::NoEndpoint)));
    assert!((50..75).contains(&wait(None, 2, Reason::ConnectFailed)));
    assert!((100..150).contains(&wait(Some(&policy), 1, Reason::ConnectFailed)));
    assert!((400..600).contains(&wait(Some(&policy), 3, Reason::ConnectFailed)));
    assert_eq!(wait(Some(&policy), 10, Reason::ConnectFailed), BACKOFF_MAX.as_millis());
}

/// What kept it from a further attempt, if anything did.
fn limited(attempt: Attempt<'_>, expected: Option<Reason>) {
    let next = decide(&attempt, &mut Pcg::new(1));
    let by = if let Next::Limited(by) = next { Some(by) } else { None };
    assert_eq!(by, expected, "{attempt:?}");
}

#[test]
fn only_what_would_go_again_is_limited() {
    let (many, none) = (Some(Reason::RetriesExhausted), policy(0, &[503]));
    limited(attempt(None, "GET", 3, Failed(Reason::ConnectFailed)), many);
    limited(attempt(None, "GET", 3, Failed(Reason::UpstreamReset)), many);
    limited(attempt(Some(&policy(1, &[503])), "GET", 2, Status(503)), many);
    limited(attempt(None, "POST", 3, Failed(Reason::UpstreamReset)), None);
    limited(attempt(None, "GET", 3, Failed(Reason::UpstreamProtocol)), None);
    limited(attempt(None, "GET", 3, Status(503)), None);
    limited(attempt(Some(&none), "GET", 1, Status(503)), None);
    limited(Attempt { replayable: false, ..attempt(None, "PUT", 3, Failed(Reason::UpstreamReset)) }, None);
}

#[test]
fn a_spent_budget_ends_it_unless_nobody_saw_it_and_somebody_else_may() {
    let spent = Some(Reason::RetryBudgetExhausted);
    let with = |ahead, outcome| Attempt { ahead, budget: Budget::Spent, ..attempt(None, "GET", 1, outcome) };
    limited(with(Ahead::Failed, Failed(Reason::UpstreamReset)), spent);
    limited(with(Ahead::Fresh, Failed(Reason::UpstreamReset)), spent);
    limited(with(Ahead::Failed, Failed(Reason::Refused)), spent);
    limited(with(Ahead::Fresh, Failed(Reason::Refused)), None);
    limited(with(Ahead::Fresh, Failed(Reason::UpstreamSilent)), None);
    limited(with(Ahead::Failed, Failed(Reason::UpstreamSilent)), spent);
    let free = decide(&with(Ahead::Fresh, Failed(Reason::ConnectFailed)), &mut Pcg::new(1));
    assert_eq!(free, Next::Again { after: Duration::ZERO });
}
