//! Whether there is another attempt.

use super::{Attempt, BACKOFF_MAX, Next, Outcome, decide};
use crate::dice::Pcg;
use Outcome::{Failed, Status};
use model::Reason;
use model::reason::Retry;
use model::route::RetryPolicy;
use std::time::Duration;

/// Whether attempt `number` of `method`, ended by `outcome`, is repeated.
fn check(policy: Option<&RetryPolicy>, method: &str, number: u32, outcome: Outcome, expected: bool) {
    let attempt = Attempt { policy, method, number, outcome, replayable: true };
    let next = decide(&attempt, &mut Pcg::new(1));
    assert_eq!(next != Next::GiveUp, expected, "{attempt:?}");
    let consumed = Attempt { replayable: false, ..attempt };
    assert_eq!(decide(&consumed, &mut Pcg::new(1)), Next::GiveUp, "{consumed:?}");
}

fn policy(attempts: u32, codes: &[u16]) -> RetryPolicy {
    RetryPolicy { attempts, codes: codes.to_vec(), backoff: Duration::from_millis(100) }
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
    let wait = |policy, number, reason| {
        let attempt = Attempt { policy, method: "GET", number, outcome: Failed(reason), replayable: true };
        match decide(&attempt, &mut Pcg::new(1)) {
            Next::Again { after } => after.as_millis(),
            Next::GiveUp => u128::MAX,
        }
    };
    assert_eq!(wait(None, 1, Reason::ConnectFailed), 0);
    assert!((25..38).contains(&wait(None, 1, Reason::NoEndpoint)));
    assert!((50..75).contains(&wait(None, 2, Reason::ConnectFailed)));
    assert!((100..150).contains(&wait(Some(&policy), 1, Reason::ConnectFailed)));
    assert!((400..600).contains(&wait(Some(&policy), 3, Reason::ConnectFailed)));
    assert_eq!(wait(Some(&policy), 10, Reason::ConnectFailed), BACKOFF_MAX.as_millis());
}
