use super::{GATES, table};
use std::collections::BTreeMap;

fn row(figure: &str, value: f64) -> String {
    let kept = BTreeMap::from([(figure.to_owned(), [value, value, value])]);
    let measure = GATES.iter().find(|row| row.figure == figure).map(|row| row.measure).unwrap_or_default();
    let table = table(&kept);
    table.lines().find(|line| line.contains(measure)).unwrap_or_default().to_owned()
}

#[test]
fn a_cost_must_not_exceed_its_gate() {
    let figure = "pair/32 connections/Leno of HAProxy";
    assert!(row(figure, 1.31).ends_with("| open |"));
    assert!(row(figure, 1.3).ends_with("| gate |"));
    assert!(row(figure, 0.99).ends_with("| aim |"));
}

#[test]
fn a_speed_must_reach_its_gate() {
    let figure = "bulk/Upload, 1 stream/Leno speed of direct";
    assert!(row(figure, 0.79).ends_with("| open |"));
    assert!(row(figure, 0.8).ends_with("| gate |"));
    assert!(row(figure, 0.96).ends_with("| aim |"));
}

#[test]
fn what_was_not_measured_says_so() {
    assert!(table(&BTreeMap::new()).contains("| plain HTTP/1.1, of Envoy | not measured | 0.35 | 0.2 |  |"));
}
