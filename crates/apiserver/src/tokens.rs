//! Tokens of callers from a file, in the manner of Kubernetes: `TOKEN,USER,ROLE` in each line, `#` before what is none.
//!
//! Only their SHA-256 is kept, and all are compared, each in constant time: neither memory nor time tells one.

use crate::caller::ApiCaller;
use crate::files::{ApiFileError, Secrecy, read};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;
use std::io;
use std::path::Path;

/// Shortest token, in characters: 16 random ones of base64 are 96 bits.
const TOKEN_CHARS_MIN: usize = 16;
/// Longest token, in characters.
const TOKEN_CHARS_MAX: usize = 1024;
/// Tokens of one file: each is compared with each that comes.
const TOKENS_MAX: usize = 1000;
/// Longest name of a user, in bytes: it stands in the log.
pub(crate) const USER_BYTES_MAX: usize = 256;

/// A token that is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownToken;

/// All tokens of a file.
pub(crate) struct ApiTokens(Vec<([u8; 32], ApiCaller)>);

impl fmt::Debug for ApiTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiTokens({})", self.0.len())
    }
}

impl ApiTokens {
    /// Reads a file that nobody else can read.
    pub(crate) fn read(path: &Path) -> Result<Self, ApiFileError> {
        let bytes = read(path, Secrecy::Secret)?;
        let content = |at: String, told: String| ApiFileError::Content { path: path.into(), at, told };
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Err(content(String::new(), "not UTF-8".into()));
        };
        let mut tokens = Self(Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            tokens.add(line).map_err(|told| content(format!(":{}", number + 1), told))?;
        }
        Ok(tokens)
    }

    /// As [`ApiTokens::read`], at a start: a file without tokens is a slip then.
    pub(crate) fn read_first(path: &Path) -> Result<Self, ApiFileError> {
        let tokens = Self::read(path)?;
        if tokens.0.is_empty() {
            let told = "no tokens; write TOKEN,USER,ROLE in a line each".into();
            return Err(ApiFileError::Content { path: path.into(), at: String::new(), told });
        }
        Ok(tokens)
    }

    /// As [`ApiTokens::read`], later: whoever takes the file away takes all tokens back.
    pub(crate) fn read_again(path: &Path) -> Result<Self, ApiFileError> {
        match Self::read(path) {
            Err(ApiFileError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                Ok(Self(Vec::new()))
            }
            read => read,
        }
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [token, user, role] = fields[..] else {
            return Err(format!("{} fields instead of TOKEN,USER,ROLE", fields.len()));
        };
        if !is_token(token) {
            return Err(format!(
                "a token has {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} letters, digits and -._~+/=; make one with \
                 `openssl rand -hex 32`"
            ));
        }
        if user.is_empty() || user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
            return Err(format!(
                "the user's name is empty, longer than {USER_BYTES_MAX} bytes or not printable"
            ));
        }
        let caller = ApiCaller { user: user.into(), role: role.parse()? };
        let hash = hash(token);
        if self.0.iter().any(|(other, _)| *other == hash) {
            return Err("this token is in the file already".into());
        }
        if self.0.len() >= TOKENS_MAX {
            return Err(format!("more than {TOKENS_MAX} tokens"));
        }
        self.0.push((hash, caller));
        Ok(())
    }

    /// Whose a token is.
    pub(crate) fn find(&self, token: &str) -> Result<&ApiCaller, UnknownToken> {
        let hash = hash(token);
        let mut found = None;
        for (known, caller) in &self.0 {
            if verify_slices_are_equal(known, &hash).is_ok() {
                found = Some(caller);
            }
        }
        found.ok_or(UnknownToken)
    }
}

/// Whether a text has the form of a token (RFC 6750, section 2.1) and is not too short to be one.
pub(crate) fn is_token(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_char)
}

fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests;
