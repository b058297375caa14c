#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use model::probe::{ProbeAction, TcpSocketProbe};

fn probe(success_threshold: u32, failure_threshold: u32) -> Arc<ReadinessProbe> {
    Arc::new(ReadinessProbe {
        action: ProbeAction::TcpSocket(TcpSocketProbe { port: 80, host: None }),
        initial_delay: Duration::from_secs(7),
        timeout: Duration::from_secs(1),
        period: Duration::from_secs(10),
        success_threshold,
        failure_threshold,
    })
}

/// `+` is a success, `-` a failure; the verdicts after each: `R` ready, `n` not ready.
fn check(start: &str, thresholds: (u32, u32), outcomes: &str, expected: &str) {
    let mut record = ProbeRecord::default();
    if start == "served before" {
        assert_eq!(record.configure(None), ProbePlan::Stop);
    }
    record.configure(Some(&probe(thresholds.0, thresholds.1)));
    let verdicts: String = outcomes.chars().map(|outcome| step(&mut record, outcome)).collect();
    assert_eq!(verdicts, expected, "{start}, {thresholds:?}: {outcomes}");
}

fn step(record: &mut ProbeRecord, outcome: char) -> char {
    record.judge(match outcome {
        '+' => ProbeOutcome::Success,
        _ => ProbeOutcome::Failure("refused".into()),
    });
    match record.health() {
        ApplicationHealth::Ready => 'R',
        ApplicationHealth::NotReady(_) => 'n',
        other => panic!("{other:?}"),
    }
}

#[test]
fn so_many_in_a_row_turn_the_verdict() {
    for (thresholds, outcomes, expected) in [
        ((1, 1), "+-+--++", "RnRnnRR"),
        ((1, 3), "+--+---+", "RRRRRRnR"),
        ((2, 1), "+-++-+-++", "nnnRnnnnR"),
        ((3, 3), "-++-+++--+---", "nnnnnnRRRRRRn"),
    ] {
        check("new", thresholds, outcomes, expected);
    }
}

#[test]
fn a_new_workload_is_not_ready_before_its_first_answer_and_waits_for_the_delay() {
    let mut record = ProbeRecord::default();
    assert_eq!(record.health(), &ApplicationHealth::Unknown);
    let wanted = probe(1, 3);
    let plan = record.configure(Some(&wanted));
    assert_eq!(plan, ProbePlan::Start(Arc::clone(&wanted), Duration::from_secs(7)));
    assert_eq!(record.health(), &ApplicationHealth::NotReady(NOT_ASKED.into()));
    assert_eq!(record.configure(Some(&probe(1, 3))), ProbePlan::Same);
}

#[test]
fn a_probe_that_is_added_to_who_serves_takes_nothing_away_before_its_verdict() {
    check("served before", (1, 2), "-+--+", "RRRnR");
    let mut record = ProbeRecord::default();
    record.configure(None);
    assert_eq!(record.health(), &ApplicationHealth::NotProbed);
    let wanted = probe(1, 1);
    assert_eq!(record.configure(Some(&wanted)), ProbePlan::Start(Arc::clone(&wanted), Duration::ZERO));
}

#[test]
fn another_probe_begins_to_count_anew_and_keeps_the_verdict() {
    let mut record = ProbeRecord::default();
    record.configure(Some(&probe(1, 2)));
    assert_eq!([step(&mut record, '+'), step(&mut record, '-')], ['R', 'R']);
    let other = probe(2, 2);
    assert_eq!(record.configure(Some(&other)), ProbePlan::Start(Arc::clone(&other), Duration::ZERO));
    // The failure before was of the other one.
    let verdicts: String = "--++".chars().map(|outcome| step(&mut record, outcome)).collect();
    assert_eq!(verdicts, "RnnR");
    step(&mut record, '-');
    step(&mut record, '-');
    record.configure(Some(&probe(1, 1)));
    assert_eq!(record.health(), &ApplicationHealth::NotReady("refused".into()));
}

#[test]
fn without_a_probe_it_counts_as_ready_again_and_late_answers_say_nothing() {
    let mut record = ProbeRecord::default();
    record.configure(Some(&probe(1, 1)));
    step(&mut record, '-');
    assert_eq!(record.configure(None), ProbePlan::Stop);
    assert_eq!(record.configure(None), ProbePlan::Same);
    record.judge(ProbeOutcome::Failure("late".into()));
    assert_eq!(record.health(), &ApplicationHealth::NotProbed);
}

#[test]
fn the_latest_cause_is_told() {
    let mut record = ProbeRecord::default();
    record.configure(Some(&probe(1, 1)));
    for cause in ["refused", "status 500"] {
        record.judge(ProbeOutcome::Failure(cause.into()));
        assert_eq!(record.health(), &ApplicationHealth::NotReady(cause.into()));
    }
}
