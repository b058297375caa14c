#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Every code has an explanation.

use super::{all, one, unknown};
use model::{Code, Reason};

#[test]
fn every_code_is_explained_in_any_case() {
    for code in Code::ALL {
        assert!(one(&code.as_str().to_lowercase()).unwrap().contains(code.text()));
        assert!(all().contains(code.as_str()));
    }
    for reason in Reason::ALL {
        assert!(one(reason.row().code).unwrap().contains(reason.row().advice));
        assert!(all().contains(reason.row().code));
    }
}

#[test]
fn a_typing_error_gets_a_hint() {
    assert_eq!(one("LENO9999"), None);
    assert!(unknown("no_healthy_upstraem").cause.to_string().contains("no_healthy_upstream"));
}
