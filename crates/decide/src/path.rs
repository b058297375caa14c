//! What is forwarded of a path, and what it may mean to whoever gets it (decision 0004).
//!
//! A path is forwarded as it came, but for what the mesh's [`PathNormalization`] changes. Rules and policies
//! are asked about every reading of it that some application has; where their verdicts differ, the request is
//! refused. Paths that users write in rules and policies go through [`pattern`], so
//! that both sides are spelled alike. Read `readings` next.

mod readings;
mod spelling;
#[cfg(test)]
mod tests;

pub use readings::{ESCAPE_LEVELS_MAX, READING_BYTES_MAX};
pub use spelling::pattern;

use model::Reason;
use model::settings::{EscapedSlashesAction, Normalization, PathNormalization};
use spelling::{decode_escape, is_plain};
use std::borrow::Cow;

/// A path that may be forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    /// What upstream gets.
    pub forwarded: Cow<'a, str>,
    /// Every reading of it, each spelled as [`pattern`] spells, the literal one first; empty: `forwarded`
    /// itself is the only one.
    pub readings: Vec<String>,
    /// Whether the caller is to ask for `forwarded` instead (`UNESCAPE_AND_REDIRECT`).
    pub is_redirected: bool,
}

/// Reads the path of a request, given without its query. Where nothing in it is odd, it costs one scan.
///
/// - In every mode: what has no reading is refused, namely a raw `\`, `#`, `?`, space or control, encoded
///   controls and `\`, broken escapes, and longer encodings of characters than UTF-8 allows.
/// - `BASE` and above decode escapes of unreserved characters once and resolve dot segments (RFC 3986 sections
///   6.2.2.2 and 5.2.4); letters keep their case. `MERGE_SLASHES` and above make one of a run of slashes.
/// - Encoded slashes are treated as their action says; `DECODE_AND_MERGE_SLASHES` decodes them where they would
///   be kept.
/// - All else stays byte for byte. An empty path is `/`; `*` (OPTIONS) stays.
///
/// # Errors
/// [`Reason::BadPath`] for what is refused.
pub fn read(raw: &str, how: PathNormalization) -> Result<Path<'_>, Reason> {
    let only = |forwarded| Path { forwarded, readings: Vec::new(), is_redirected: false };
    match raw {
        "" => return Ok(only(Cow::Borrowed("/"))),
        "*" => return Ok(only(Cow::Borrowed("*"))),
        _ if is_plain(raw) => return Ok(only(Cow::Borrowed(raw))),
        _ => {}
    }
    let unescaped = normalize(raw, how)?;
    let readings = readings::of(&unescaped.path)?;
    let is_redirected =
        unescaped.had_slashes && how.escaped_slashes == EscapedSlashesAction::UnescapeAndRedirect;
    let forwarded = if unescaped.path == raw { Cow::Borrowed(raw) } else { Cow::Owned(unescaped.path) };
    Ok(Path { forwarded, readings, is_redirected })
}

/// Status of the redirect to a path without encoded slashes: the method is kept.
pub const UNESCAPE_STATUS: u16 = 307;

/// `location` of the redirect to a path without encoded slashes; `target` is what is forwarded, with its query. A
/// gRPC client follows none and is refused.
///
/// # Errors
/// [`Reason::BadPath`].
pub fn unescape_location(target: &str, content_type: Option<&[u8]>) -> Result<String, Reason> {
    if content_type.is_some_and(crate::request::is_grpc) {
        return Err(Reason::BadPath);
    }
    // Two slashes at its beginning would make another host of what follows (RFC 3986 section 4.2).
    let dot = if target.starts_with("//") { "/." } else { "" };
    Ok(format!("{dot}{target}"))
}

/// Whether every reading of a path that is forwarded lies at or below `prefix`, as a user wrote it.
///
/// # Errors
/// [`Reason::BadPath`] when there are too many.
pub(crate) fn is_within(forwarded: &str, prefix: &str) -> Result<bool, Reason> {
    let prefix = pattern(prefix.trim_end_matches('/'));
    let is_below = |reading: &str| {
        reading.strip_prefix(&*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let readings = readings::of(forwarded)?;
    Ok(if readings.is_empty() {
        is_below(forwarded)
    } else {
        readings.iter().all(|reading| is_below(reading))
    })
}

/// Whether every reading of a path that is forwarded begins with `prefix`, as a user wrote it.
///
/// # Errors
/// [`Reason::BadPath`] when there are too many.
pub(crate) fn begins_with(forwarded: &str, prefix: &str) -> Result<bool, Reason> {
    let prefix = pattern(prefix);
    let readings = readings::of(forwarded)?;
    Ok(forwarded.starts_with(&*prefix) && readings.iter().all(|reading| reading.starts_with(&*prefix)))
}

/// How many bytes of `forwarded` the first `prefix_len` bytes of its literal reading stand for. A prefix that ends
/// within a segment stands for itself; where it is spelled otherwise, for the whole segment.
pub(crate) fn prefix_in(forwarded: &str, literal: &str, prefix_len: usize) -> usize {
    let covered = literal.get(..prefix_len).unwrap_or(literal);
    let ends_segment = matches!(literal.as_bytes().get(prefix_len), None | Some(b'/'));
    if !ends_segment && forwarded.starts_with(covered) {
        return prefix_len;
    }
    let segments = covered.bytes().filter(|byte| *byte == b'/').count();
    forwarded.match_indices('/').nth(segments).map_or(forwarded.len(), |(at, _)| at)
}

struct Normalized {
    path: String,
    /// Encoded slashes were decoded.
    had_slashes: bool,
}

fn normalize(raw: &str, how: PathNormalization) -> Result<Normalized, Reason> {
    let decodes_slashes = how.normalization == Normalization::DecodeAndMergeSlashes
        || matches!(
            how.escaped_slashes,
            EscapedSlashesAction::UnescapeAndForward | EscapedSlashesAction::UnescapeAndRedirect
        );
    let mut path = String::with_capacity(raw.len());
    let mut had_slashes = false;
    let mut rest = raw;
    while let Some(next) = rest.chars().next() {
        let (mut taken, after) = rest.split_at(next.len_utf8());
        let mut becomes = None;
        match next {
            '%' => {
                let byte = decode_escape(rest.as_bytes()).ok_or(Reason::BadPath)?;
                taken = rest.get(..3).ok_or(Reason::BadPath)?;
                match byte {
                    0..=0x1f | 0x7f => return Err(Reason::BadPath),
                    b'/' | b'\\' if how.escaped_slashes == EscapedSlashesAction::RejectRequest => {
                        return Err(Reason::BadPath);
                    }
                    b'/' | b'\\' if decodes_slashes => {
                        had_slashes = true;
                        becomes = Some('/');
                    }
                    b'\\' => return Err(Reason::BadPath),
                    byte if how.normalization >= Normalization::Base && spelling::is_unreserved(byte) => {
                        becomes = Some(char::from(byte));
                    }
                    _ => {}
                }
            }
            '\\' | '#' | '?' | ' ' | '\0'..='\x1f' | '\x7f' => return Err(Reason::BadPath),
            _ => {}
        }
        match becomes {
            Some(character) => path.push(character),
            None => path.push_str(taken),
        }
        rest = if next == '%' { rest.get(3..).unwrap_or_default() } else { after };
    }
    if !path.starts_with('/') {
        return Err(Reason::BadPath);
    }
    if how.normalization >= Normalization::Base {
        path = resolve_dots(&path);
    }
    if how.normalization >= Normalization::MergeSlashes {
        path = merge_slashes(&path);
    }
    Ok(Normalized { path, had_slashes })
}

/// RFC 3986 section 5.2.4: an empty segment is one like others.
fn resolve_dots(path: &str) -> String {
    let mut resolved = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    resolved.truncate(resolved.rfind('/').unwrap_or(0));
                }
                if segments.peek().is_none() {
                    resolved.push('/');
                }
            }
            segment => {
                resolved.push('/');
                resolved.push_str(segment);
            }
        }
    }
    resolved
}

fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !merged.ends_with('/') {
            merged.push(character);
        }
    }
    merged
}
