#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use model::{ObjectRef, Origin};

fn check(codes: &[Code], overridden: bool, expected: [&str; 2]) {
    let origin = Origin { object: ObjectRef::new("HTTPRoute", "default", "r"), file: "".into(), line: 1 };
    let findings: Vec<Finding> =
        codes.iter().map(|code| Finding::new(*code, &origin, "why", "fix")).collect();
    let findings: Vec<&Finding> = findings.iter().collect();
    let shown = |condition: &StatusCondition| {
        format!("{}={} {} {}", condition.kind.as_str(), condition.holds, condition.reason, condition.message)
    };
    let shown: Vec<String> = conditions(&findings, overridden).iter().map(shown).collect();
    assert_eq!(shown.iter().map(|shown| shown.trim_end()).collect::<Vec<_>>(), expected);
}

#[test]
fn findings_become_conditions_of_the_gateway_api() {
    let (accepted, resolved) = ("Accepted=true Accepted", "ResolvedRefs=true ResolvedRefs");
    check(&[], false, [accepted, resolved]);
    check(&[Code::Ignored], false, [accepted, resolved]);
    let unresolved = "ResolvedRefs=false BackendNotFound LENO0101: why";
    check(&[Code::ReferenceNotFound, Code::PortNotFound], false, [accepted, unresolved]);
    check(&[Code::Unsupported], false, ["Accepted=false UnsupportedValue LENO0103: why", resolved]);
    check(&[Code::BadValue, Code::Unsupported], false, ["Accepted=false Invalid LENO0004: why", resolved]);
    check(&[Code::ParentNotFound], false, ["Accepted=false NoMatchingParent LENO0102: why", resolved]);
    let overridden =
        "Accepted=false Overridden an object of another source has its name and is in force instead";
    check(&[], true, [overridden, resolved]);
}
