//! What is odd about the bytes of a case, as far as classes ask.
//!
//! This is no parser: it looks for what may be the reason of a difference wherever it stands.

use crate::case::Case;
use crate::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HAS_PRIORITY, HEADERS, PADDED, PRIORITY, frames,
    stream_number,
};
use codec::http2::hpack::HpackDecoder;

/// Bytes of a list of fields that a case may have.
const LIST_BYTES_MAX: usize = 1 << 20;
/// Of a priority in front of fields.
const PRIORITY_BYTES: usize = 5;

/// Something that may be a head: lines between blank lines.
pub(crate) struct Head<'a> {
    pub(crate) first: &'a [u8],
    fields: &'a [&'a [u8]],
}

impl<'a> Head<'a> {
    /// Trimmed values of the fields of this name, however it is written.
    pub(crate) fn values(&self, wanted: &[u8]) -> Vec<&'a [u8]> {
        let split = |line: &&'a [u8]| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(at);
            let is_it = trim(name).eq_ignore_ascii_case(wanted);
            is_it.then(|| trim(value.get(1..).unwrap_or_default()))
        };
        self.fields.iter().filter_map(split).collect()
    }

    /// Method, target and version, if there is a blank between each.
    pub(crate) fn words(&self) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
        let start = self.first.iter().position(|byte| *byte == b' ')?;
        let end = self.first.iter().rposition(|byte| *byte == b' ').filter(|end| *end > start)?;
        Some((&self.first[..start], &self.first[start + 1..end], &self.first[end + 1..]))
    }
}

/// Without blanks and tabs around it.
fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// Whether any head is as `is_it` says.
pub(crate) fn has_head(case: &Case, is_it: impl Fn(&Head<'_>) -> bool) -> bool {
    let lines: Vec<&[u8]> = case.bytes.split(|byte| *byte == b'\n').map(without_returns).collect();
    lines.split(|line| line.is_empty()).any(|lines| match lines.split_first() {
        Some((first, fields)) => is_it(&Head { first, fields }),
        None => false,
    })
}

fn without_returns(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r'] = line {
        line = rest;
    }
    line
}

/// Whether any line behind the first of a head is as `is_it` says.
pub(crate) fn has_field_line(case: &Case, is_it: impl Fn(&[u8]) -> bool) -> bool {
    has_head(case, |head| head.fields.iter().any(|line| is_it(line)))
}

/// As `has_bare_line_end`, and a length that is wrong may make one.
pub(crate) fn may_have_bare_line_end(case: &Case) -> bool {
    has_bare_line_end(case) || case.contains(b"content-length")
}

/// LF without CR, or CR without LF.
fn has_bare_line_end(case: &Case) -> bool {
    let bytes = &case.bytes;
    let is_bare = |pair: &[u8]| (pair[0] == b'\r') != (pair[1] == b'\n');
    bytes.first() == Some(&b'\n') || bytes.windows(2).any(is_bare)
}

pub(crate) fn has_host_twice_or_odd(case: &Case) -> bool {
    // To somebody CR alone is a part of a value.
    has_bare_line_end(case)
        || has_head(case, |head| {
            let hosts = head.values(b"host");
            let is_clean = |host: &&[u8]| {
                let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte);
                !host.is_empty() && host.iter().all(is_plain)
            };
            hosts.len() > 1
                || !hosts.iter().all(is_clean)
                || (hosts.is_empty() && head.first.ends_with(b"HTTP/1.1"))
        })
}

pub(crate) fn has_length_twice_or_odd(case: &Case) -> bool {
    // To somebody CR alone is a part of a value.
    has_bare_line_end(case)
        || has_head(case, |head| {
            let lengths = head.values(b"content-length");
            let is_plain =
                |length: &&[u8]| (1..19).contains(&length.len()) && length.iter().all(u8::is_ascii_digit);
            lengths.len() > 1
                || !lengths.iter().all(is_plain)
                || head.words().is_some_and(|(method, ..)| method.ends_with(b"CONNECT"))
        })
}

pub(crate) fn has_coding_twice_or_odd(case: &Case) -> bool {
    // To somebody CR alone is a part of a value.
    has_bare_line_end(case)
        || has_head(case, |head| {
            let codings = head.values(b"transfer-encoding");
            codings.len() > 1 || !codings.iter().all(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        })
}

pub(crate) fn has_length_and_coding(case: &Case) -> bool {
    has_head(case, |head| {
        !head.values(b"content-length").is_empty() && !head.values(b"transfer-encoding").is_empty()
    })
}

pub(crate) fn has_coding_in_old_version(case: &Case) -> bool {
    let is_old = |head: &Head<'_>| head.first.ends_with(b"HTTP/1.0") || head.first.starts_with(b"HTTP/1.0");
    has_head(case, |head| is_old(head) && !head.values(b"transfer-encoding").is_empty())
}

/// No colon, nothing or a blank before it, a line that goes on with the one before, a framing field with underscores.
pub(crate) fn has_odd_field_line(case: &Case) -> bool {
    has_field_line(case, |line| match line.iter().position(|byte| *byte == b':') {
        None | Some(0) => true,
        Some(at) => {
            let name = &line[..at];
            line[0] <= b' '
                || line[at - 1] <= b' '
                || name.eq_ignore_ascii_case(b"content_length")
                || name.eq_ignore_ascii_case(b"transfer_encoding")
        }
    })
}

/// What a first line may not be; a length that is wrong may make one of a body.
pub(crate) fn has_odd_request(case: &Case) -> bool {
    has_odd_first_line(case) || case.contains(b"content-length")
}

/// A first line that is not three words with one blank between them, or with what no target or version has; blank
/// lines between requests.
fn has_odd_first_line(case: &Case) -> bool {
    let is_odd = |head: &Head<'_>| {
        let Some((method, target, version)) = head.words() else { return true };
        let is_bad = |byte: &u8| *byte <= b' ' || *byte == 0x7f || *byte == b'#';
        method.is_empty()
            || method.iter().any(is_bad)
            || target.is_empty()
            || target.iter().any(is_bad)
            || !matches!(version, b"HTTP/1.1" | b"HTTP/1.0")
    };
    has_head(case, is_odd) || has_blank_lines(case)
}

/// More than the blank line that may come before a request line.
fn has_blank_lines(case: &Case) -> bool {
    let lines: Vec<&[u8]> = case.bytes.split(|byte| *byte == b'\n').map(without_returns).collect();
    lines.windows(3).any(|lines| lines.iter().all(|line| line.is_empty()))
        || (lines.len() > 2 && lines[..2].iter().all(|line| line.is_empty()))
}

/// Bytes that belong nowhere in a head, a method or a name that is no token, or what no URI has.
pub(crate) fn has_odd_character(case: &Case) -> bool {
    let is_odd = |byte: &u8| !matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~');
    let is_token = |word: &[u8]| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        !word.is_empty() && word.iter().all(is_plain)
    };
    has_odd_first_line(case)
        || case.bytes.iter().any(is_odd)
        || has_head(case, |head| {
            let is_odd_target = |target: &[u8]| target.iter().any(|byte| b"\"<>\\^`{|}".contains(byte));
            let is_name =
                |line: &&[u8]| is_token(line.split(|byte| *byte == b':').next().unwrap_or_default());
            head.words().is_none_or(|(method, target, _)| !is_token(method) || is_odd_target(target))
                || !head.fields.iter().all(is_name)
        })
}

/// A target that is no path, or is one for CONNECT.
pub(crate) fn has_odd_target(case: &Case) -> bool {
    has_head(case, |head| {
        let (method, target, _) = head.words().unwrap_or_default();
        !target.starts_with(b"/") || method.ends_with(b"CONNECT")
    })
}

/// A first line that is no status line as everybody writes it, or a blank line before one.
pub(crate) fn has_odd_status_line(case: &Case) -> bool {
    let is_status = |line: &[u8]| match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', status @ ..] => {
            let digits = status.iter().take_while(|byte| byte.is_ascii_digit()).count();
            digits == 3 && matches!(status.get(3), None | Some(b' '))
        }
        _ => false,
    };
    case.bytes.starts_with(b"\r") || has_blank_lines(case) || has_head(case, |head| !is_status(head.first))
}

/// `close` as one of several words, or in one of several fields.
pub(crate) fn has_close_beside_others(case: &Case) -> bool {
    has_head(case, |head| {
        let values = head.values(b"connection");
        values.iter().any(|value| has_close_in(value))
            && (values.len() > 1 || values.iter().any(|value| value.contains(&b',')))
    })
}

/// `close` as a part of another word.
pub(crate) fn has_close_within_a_word(case: &Case) -> bool {
    let is_close = |word: &[u8]| trim(word).eq_ignore_ascii_case(b"close");
    let is_within =
        |value: &&[u8]| value.split(|byte| *byte == b',').any(|word| has_close_in(word) && !is_close(word));
    has_head(case, |head| head.values(b"connection").iter().any(is_within))
}

fn has_close_in(value: &[u8]) -> bool {
    value.windows(5).any(|word| word.eq_ignore_ascii_case(b"close"))
}

/// DATA or HEADERS on a stream that its sender has ended.
pub(crate) fn goes_on_behind_its_end(case: &Case) -> bool {
    let mut ended = Vec::new();
    frames(&case.bytes).filter(|frame| matches!(frame.kind, DATA | HEADERS)).any(|frame| {
        let goes_on = ended.contains(&frame.stream);
        if frame.has(END_STREAM) {
            ended.push(frame.stream);
        }
        goes_on
    })
}

/// A stream that is said to depend on itself.
pub(crate) fn depends_on_itself(case: &Case) -> bool {
    frames(&case.bytes).any(|frame| {
        let is_head = frame.kind == HEADERS && frame.has(HAS_PRIORITY);
        let start = usize::from(is_head && frame.has(PADDED));
        let depends_on = frame.payload.get(start..).and_then(|bytes| bytes.first_chunk::<4>());
        (is_head || frame.kind == PRIORITY)
            && depends_on.is_some_and(|bytes| stream_number(*bytes) == frame.stream)
    })
}

/// Whether there is a frame of this kind.
pub(crate) fn has_frame(case: &Case, kind: u8) -> bool {
    frames(&case.bytes).any(|frame| frame.kind == kind)
}

/// Names and values of a list of fields.
pub(crate) type List = Vec<(Vec<u8>, Vec<u8>)>;

/// Pseudo-fields behind the first fields of a stream.
pub(crate) fn has_pseudo_in_trailers(case: &Case) -> bool {
    let mut known = Vec::new();
    lists_of_streams(case).iter().any(|(stream, list)| {
        let is_trailers = known.contains(stream);
        known.push(*stream);
        is_trailers && list.iter().any(|(name, _)| name.starts_with(b":"))
    })
}

/// All lists of fields in frames of HTTP/2, as far as they have a reading.
pub(crate) fn lists(case: &Case) -> Vec<List> {
    lists_of_streams(case).into_iter().map(|(_, list)| list).collect()
}

fn lists_of_streams(case: &Case) -> Vec<(u32, List)> {
    let mut decoder = HpackDecoder::new(LIST_BYTES_MAX);
    let (mut lists, mut block) = (Vec::new(), Vec::new());
    for frame in frames(&case.bytes).take_while(|frame| frame.is_whole) {
        let (mut start, mut end) = (0, frame.payload.len());
        match frame.kind {
            HEADERS => {
                block.clear();
                if frame.has(PADDED) {
                    end =
                        end.saturating_sub(frame.payload.first().map_or(0, |padding| usize::from(*padding)));
                    start += 1;
                }
                start += if frame.has(HAS_PRIORITY) { PRIORITY_BYTES } else { 0 };
            }
            CONTINUATION => {}
            _ => continue,
        }
        block.extend_from_slice(frame.payload.get(start..end).unwrap_or_default());
        if frame.has(END_HEADERS) {
            let mut list = Vec::new();
            let _ = decoder.decode_borrowed(&block, |field| {
                list.push((field.name.as_bytes().to_vec(), field.value.as_bytes().to_vec()));
            });
            lists.push((frame.stream, list));
        }
    }
    lists
}
