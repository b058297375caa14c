//! What scripts see of wrong usage: 64 with the cause on stderr; help and version are no errors.

use std::process::Command;

fn check(arguments: &[&str], code: i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_leno")).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "leno {arguments:?}");
    assert_eq!(output.stdout.is_empty(), code != 0, "leno {arguments:?} and its standard output");
    assert_eq!(output.stderr.is_empty(), code == 0, "leno {arguments:?} and its standard error");
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    check(&["no-such-command"], 64);
    check(&["proxy", "--no-such-option"], 64);
    check(&[], 64);
    check(&["gateway"], 64);
    check(&["gateway", "--from", ":8080", "--to", "nonsense"], 64);
    check(&["gateway", "--from", ":8080", "--to", ":9000", "-f", "."], 64);
    check(&["gateway", "--from", ":8080"], 64);
    check(&["demo", "--workers", "0"], 64);
    check(&["get", "no-such-kind"], 64);
    check(&["--help"], 0);
    check(&["proxy", "--help"], 0);
    check(&["--version"], 0);
}
