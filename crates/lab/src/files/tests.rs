#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;

#[test]
fn paths_outside_the_lab_are_told_apart() {
    let check = |path: &str, inside: bool| assert_eq!(is_inside(Path::new(path)), inside, "{path}");
    check("/run/leno/hosts/west/client/leno/app.log", true);
    check("/run/leno/../passwd", false);
    check("/etc/passwd", false);
    check("/run/lenox", false);
}
