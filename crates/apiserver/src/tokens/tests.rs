#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::access::ApiRole;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const TOKEN: &str = "0123456789abcdef";

struct Given {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn given(text: &str, mode: u32) -> Given {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    Given { _directory: directory, path }
}

fn refused(text: &str, mode: u32) -> String {
    ApiTokens::read_first(&given(text, mode).path).unwrap_err().to_string()
}

#[test]
fn tokens_are_found_and_not_shown() {
    let text =
        format!("# whose they are\n\n{TOKEN},alice,admin\n fedcba9876543210-._~+/= , bob smith , view \n");
    let tokens = ApiTokens::read(&given(&text, 0o600).path).unwrap();
    let of = |token: &str| tokens.find(token).map(|caller| (caller.user.to_string(), caller.role));
    assert_eq!(of(TOKEN), Ok(("alice".into(), ApiRole::Admin)));
    assert_eq!(of("fedcba9876543210-._~+/="), Ok(("bob smith".into(), ApiRole::View)));
    for token in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
        assert_eq!(of(token), Err(UnknownToken), "{token}");
    }
    let shown = format!("{tokens:?}");
    assert_eq!(shown, "ApiTokens(2)");
}

#[test]
fn a_file_that_is_wrong_says_where_and_never_what() {
    for (text, expected) in [
        ("".to_owned(), "no tokens; write TOKEN,USER,ROLE"),
        ("# nothing\n".to_owned(), "no tokens"),
        (format!("{TOKEN},alice"), "tokens:1: 2 fields instead of TOKEN,USER,ROLE"),
        (format!("\n{TOKEN},a,view,\"group\""), "tokens:2: 4 fields"),
        ("short,alice,view".to_owned(), "tokens:1: a token has 16 to 1024"),
        (format!("{TOKEN} x,alice,view"), "a token has 16"),
        (format!("{TOKEN},,view"), "the user's name is empty"),
        (format!("{TOKEN},alice,root"), "there is no role \"root\""),
        (format!("{TOKEN},alice,view\n{TOKEN},bob,admin"), "tokens:2: this token is in the file already"),
    ] {
        let told = refused(&text, 0o600);
        assert!(
            told.contains(expected) && !told.contains(TOKEN) && !told.contains("short"),
            "{text}: {told}"
        );
    }
    let many: String = (0..=TOKENS_MAX).map(|n| format!("{TOKEN}{n},alice,view\n")).collect();
    assert!(refused(&many, 0o600).contains("more than 1000 tokens"));
    let missing = ApiTokens::read(Path::new("/no/such/file")).unwrap_err().to_string();
    assert_eq!(missing, "read /no/such/file");
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let text = format!("{TOKEN},alice,view");
    for mode in [0o604, 0o644, 0o620, 0o602, 0o666] {
        let told = refused(&text, mode);
        assert!(told.contains(&format!("mode {mode:o}")) && told.contains("chmod 600"), "{told}");
    }
    for mode in [0o600, 0o400] {
        assert!(ApiTokens::read(&given(&text, mode).path).is_ok(), "{mode:o}");
    }
    let of_other = given(&text, 0o600);
    if std::os::unix::fs::chown(&of_other.path, Some(3_999_991), None).is_ok() {
        let told = ApiTokens::read(&of_other.path).unwrap_err().to_string();
        assert!(told.contains("belongs to uid 3999991"), "{told}");
    }
}
