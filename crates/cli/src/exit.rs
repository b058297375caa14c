//! Exit codes, and failures that carry one. 64 to 69 are those of BSD's `sysexits.h`.

use anyhow::Error;

/// It went well.
pub const OK: i32 = 0;
/// It did not.
pub const FAILED: i32 = 1;
/// The command line makes no sense.
pub const USAGE: i32 = 64;
/// A file or object is wrong.
pub const DATA: i32 = 65;
/// The control plane does not answer.
pub const UNREACHABLE: i32 = 69;
/// `analyze` found errors.
pub const FINDINGS: i32 = 79;

/// What a command comes to: an exit code, or a failure to print.
pub type Outcome = Result<i32, Failure>;

/// A failure with its exit code.
#[derive(Debug)]
pub struct Failure {
    /// One of this module's codes.
    pub code: i32,
    /// What to print.
    pub cause: Error,
}

impl Failure {
    /// A failure with a plain message.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, cause: Error::msg(message.into()) }
    }
}

impl From<Error> for Failure {
    fn from(cause: Error) -> Self {
        Self { code: FAILED, cause }
    }
}
