#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

#[test]
fn the_unit_of_the_package_does_what_is_taken_for_granted_here() {
    let unit = include_str!("../../../../package/systemd/leno-join.service");
    let has = |line: &str| unit.lines().any(|one| one == line);
    // One keeper at a time, whoever started it, and `leave` finds that of the unit.
    let directory = Path::new(PID_FILE).parent().unwrap().strip_prefix("/run").unwrap();
    assert!(has(&format!("RuntimeDirectory={}", directory.display())) && !unit.contains("--pid-file"));
    // We alone are told to stop: the proxy drains after capture, not with it.
    assert!(has("KillMode=mixed"));
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert!(Duration::from_secs(stop.parse().unwrap()) >= LEAVE_TIMEOUT);
    // No plane shares that directory.
    for plane in [
        include_str!("../../../../package/systemd/leno-control.service"),
        include_str!("../../../../package/systemd/leno-manager.service"),
        include_str!("../../../../package/systemd/leno-root.service"),
    ] {
        assert!(!plane.contains(PID_FILE) && plane.lines().any(|line| line == "RuntimeDirectory=leno"));
    }
}
