//! What is odd about the bytes of a case, as far as classes ask.
//!
//! This is no parser: it looks for what may be the reason of a difference wherever it stands.

use crate::case::Case;
use crate::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HAS_PRIORITY, HEAD_BYTES, HEADERS, PADDED, PRIORITY,
    SETTINGS, WINDOW_UPDATE, frames, stream_number,
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

/// Whether any head is as `is_it` says: one between blank lines, or one that begins where a body ends.
pub(crate) fn has_head(case: &Case, is_it: impl Fn(&Head<'_>) -> bool) -> bool {
    let lines: Vec<&[u8]> = lines_of(&case.bytes);
    let is_found = |lines: &[&[u8]]| match lines.split_first() {
        Some((first, fields)) => is_it(&Head { first, fields }),
        None => false,
    };
    lines.split(|line| line.is_empty()).any(is_found)
        || behind_bodies(&case.bytes).any(|head| is_found(&head))
}

fn lines_of(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == b'\n').map(without_returns).collect()
}

/// Lines of heads that begin where the body of a declared length ends, wherever in a line that is.
fn behind_bodies(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let (length, body) = next_length(rest?)?;
        rest = body.get(length..);
        let lines = lines_of(rest?);
        let begin = lines.iter().position(|line| !line.is_empty()).unwrap_or(lines.len());
        let head = lines.get(begin..).unwrap_or_default().iter().take_while(|line| !line.is_empty());
        Some(head.copied().collect())
    })
}

/// The first length that is declared, and all that is behind the blank line that comes next.
fn next_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    const NAME: &[u8] = b"content-length:";
    let at = bytes.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME))?;
    let behind = bytes.get(at + NAME.len()..)?;
    let line = behind.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let length = std::str::from_utf8(trim(without_returns(line))).ok()?.parse().ok()?;
    let end = behind.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((length, behind.get(end + 4..)?))
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

fn is_token(word: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !word.is_empty() && word.iter().all(is_plain)
}

/// A target that is no path, or is one for CONNECT.
pub(crate) fn has_odd_target(case: &Case) -> bool {
    has_head(case, |head| {
        let (method, target, _) = head.words().unwrap_or_default();
        !target.starts_with(b"/") || method.ends_with(b"CONNECT")
    })
}

/// A target with bytes that are not ASCII.
pub(crate) fn has_target_beyond_ascii(case: &Case) -> bool {
    has_head(case, |head| head.words().is_some_and(|(_, target, _)| !target.is_ascii()))
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

/// A block of fields whose last frame never came.
pub(crate) fn has_open_block(case: &Case) -> bool {
    let block = frames(&case.bytes).filter(|frame| matches!(frame.kind, HEADERS | CONTINUATION)).last();
    block.is_some_and(|frame| !frame.has(END_HEADERS))
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

/// Whether the first frame is SETTINGS that acknowledge nothing.
pub(crate) fn begins_with_settings(case: &Case) -> bool {
    frames(&case.bytes).next().is_some_and(|frame| frame.kind == SETTINGS && !frame.has(ACK))
}

/// Whether there is something on a stream that a client does not open, which opens none above `opened_max`.
pub(crate) fn has_unopened_stream(case: &Case, opened_max: u32) -> bool {
    let is_unopened = |stream: u32| stream > opened_max || stream.is_multiple_of(2);
    frames(&case.bytes).any(|frame| frame.stream != 0 && is_unopened(frame.stream))
}

/// A block of fields whose end is not in its first frame.
pub(crate) fn has_block_in_parts(case: &Case) -> bool {
    frames(&case.bytes).any(|frame| frame.kind == HEADERS && !frame.has(END_HEADERS))
}

/// HEADERS on a stream with a smaller number than one before.
pub(crate) fn goes_back(case: &Case) -> bool {
    let heads: Vec<_> = frames(&case.bytes).filter(|frame| frame.kind == HEADERS).collect();
    heads.windows(2).any(|pair| pair[1].stream < pair[0].stream)
}

/// More than one acknowledgement of SETTINGS.
pub(crate) fn acknowledges_twice(case: &Case) -> bool {
    frames(&case.bytes).filter(|frame| frame.kind == SETTINGS && frame.has(ACK)).count() > 1
}

/// WINDOW_UPDATE with an increment of zero.
pub(crate) fn widens_by_nothing(case: &Case) -> bool {
    let is_zero = |payload: &[u8]| payload.first_chunk().is_some_and(|bytes| stream_number(*bytes) == 0);
    frames(&case.bytes).any(|frame| frame.kind == WINDOW_UPDATE && is_zero(frame.payload))
}

/// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 section 3) with a value that it must not have.
pub(crate) fn has_odd_extended_connect(case: &Case) -> bool {
    frames(&case.bytes).filter(|frame| frame.kind == SETTINGS).any(|frame| {
        let (settings, _) = frame.payload.as_chunks::<6>();
        settings.iter().any(|[a, b, value @ ..]| (*a, *b) == (0, 8) && u32::from_be_bytes(*value) > 1)
    })
}

/// Whether it ends in the middle of a frame.
pub(crate) fn has_cut_frame(case: &Case) -> bool {
    let is_cut = frames(&case.bytes).any(|frame| !frame.is_whole);
    let bytes: usize = frames(&case.bytes).map(|frame| HEAD_BYTES + frame.payload.len()).sum();
    is_cut || bytes < case.bytes.len()
}

/// A name that is no token in small letters and no pseudo-field either, or a value of characters that it must not
/// have.
pub(crate) fn is_odd_field(name: &[u8], value: &[u8]) -> bool {
    let is_name = |byte: &u8| is_token(&[*byte]) && !byte.is_ascii_uppercase();
    match name {
        b":method" => !is_token(value),
        b":status" => value.len() != 3 || !value.iter().all(u8::is_ascii_digit) || value.starts_with(b"0"),
        b":scheme" | b":authority" | b":path" => !value.iter().all(u8::is_ascii_graphic),
        _ => {
            name.is_empty()
                || !name.iter().all(is_name)
                || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
        }
    }
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

/// DATA on a stream on which no final head has come.
pub(crate) fn has_data_before_head(case: &Case) -> bool {
    let mut known = Vec::new();
    let mut heads = lists_of_streams(case).into_iter();
    frames(&case.bytes).any(|frame| {
        if matches!(frame.kind, HEADERS | CONTINUATION) && frame.has(END_HEADERS) {
            let is_final =
                |(name, status): &(Vec<u8>, Vec<u8>)| name == b":status" && !status.starts_with(b"1");
            known
                .extend(heads.next().filter(|(_, list)| list.iter().any(is_final)).map(|(stream, _)| stream));
        }
        frame.kind == DATA && !known.contains(&frame.stream)
    })
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

#[cfg(test)]
mod tests;
