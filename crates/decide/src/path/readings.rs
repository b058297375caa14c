//! All that a path may mean to applications: they differ in when they decode, in what they take for a
//! separator, and in whether they cut parameters off, merge slashes and resolve dot segments.
//!
//! A reading is made as an application would: decode the whole so often, cut it at `?` or `#`, split it into
//! segments, cut parameters off, decode the segments, arrange them. What does not occur in a path makes no
//! further readings of it.

use super::spelling::{decode, decode_escape, spell_into};
use model::Reason;
use std::borrow::Cow;

/// How deep escapes may lie within escapes: `%61` is 1, `%2561` is 2. Deeper: refused.
pub const ESCAPE_LEVELS_MAX: usize = 3;
/// Bytes of all readings of a path together, with 8 for each segment. More: refused, because an attacker could
/// make us spend much more than he does. Enough for the longest path of which nothing is odd but one thing.
pub const READING_BYTES_MAX: usize = 512 * 1024;
const SEGMENT_BYTES: usize = 8;

type Segment<'a> = Cow<'a, [u8]>;

/// The readings of what is forwarded, the literal one first; empty: the path itself is the only one.
pub(super) fn of(path: &str) -> Result<Vec<String>, Reason> {
    let mut readings = Readings { found: Vec::new(), left: READING_BYTES_MAX, is_run: path.ends_with("//") };
    readings.read_levels(path.as_bytes())?;
    if path.contains('+') {
        readings.read_levels(path.replace('+', "%20").as_bytes())?;
    }
    match readings.found.as_slice() {
        [only] if only == path => Ok(Vec::new()),
        _ => Ok(readings.found),
    }
}

struct Readings {
    found: Vec<String>,
    left: usize,
    /// The path ends with a run of slashes, which some leave out altogether.
    is_run: bool,
}

impl Readings {
    fn read_levels(&mut self, path: &[u8]) -> Result<(), Reason> {
        let levels = levels(path)?;
        let deepest = levels.len() - 1;
        let hides = levels.iter().any(|level| hides_meaning(level));
        for (before, text) in levels.iter().enumerate() {
            if before > 0 && !hides {
                break;
            }
            for after in 0..=deepest - before {
                // Who decodes nothing sees nothing that is not seen otherwise.
                if before + after > 0 || deepest == 0 {
                    self.read_text(text, before, after)?;
                }
            }
        }
        Ok(())
    }

    /// Of a path that was decoded as a whole `before` times; its segments are decoded `after` times.
    fn read_text(&mut self, text: &[u8], before: usize, after: usize) -> Result<(), Reason> {
        let is_end = |byte: &u8| matches!(byte, b'?' | b'#');
        let end = text.iter().position(is_end).filter(|_| before > 0);
        for text in [Some(text), end.map(|end| &text[..end])].into_iter().flatten() {
            self.read_separated(text, |byte| *byte == b'/', after)?;
            // One that is there before anything is decoded is refused.
            if before > 0 && text.contains(&b'\\') {
                self.read_separated(text, |byte| matches!(byte, b'/' | b'\\'), after)?;
            }
        }
        Ok(())
    }

    fn read_separated(
        &mut self,
        text: &[u8],
        is_separator: impl Fn(&u8) -> bool,
        after: usize,
    ) -> Result<(), Reason> {
        let segments: Vec<_> = text.split(is_separator).skip(1).collect();
        let last = segments.len().saturating_sub(1);
        self.read_segments(&segments, after)?;
        if text.contains(&b';') {
            let all: Vec<_> = segments.iter().map(|segment| without_parameters(segment)).collect();
            self.read_segments(&all, after)?;
            let mut only_last = segments;
            if let Some(segment) = only_last.get_mut(last) {
                *segment = without_parameters(segment);
            }
            self.read_segments(&only_last, after)?;
        }
        Ok(())
    }

    fn read_segments(&mut self, segments: &[&[u8]], after: usize) -> Result<(), Reason> {
        self.read_decoded(segments.iter().map(|segment| decode_times(segment, after)).collect(), after)?;
        if after > 0 && segments.iter().any(|segment| is_dots(segment)) {
            let whole: Vec<Segment<'_>> = segments.iter().map(|segment| Cow::Borrowed(*segment)).collect();
            let resolved = resolve_dots(&whole);
            let decoded = resolved.iter().map(|segment| decode_times(segment, after)).collect();
            self.read_decoded(decoded, after)?;
        }
        Ok(())
    }

    /// Who decodes segments may look for parameters and ends only then.
    fn read_decoded(&mut self, segments: Vec<Segment<'_>>, after: usize) -> Result<(), Reason> {
        self.arrange(&segments)?;
        if after == 0 {
            return Ok(());
        }
        let is_end = |byte: &u8| matches!(byte, b'?' | b'#');
        let ended: Option<Vec<Segment<'_>>> =
            segments.iter().position(|segment| segment.iter().any(is_end)).map(|index| {
                let mut ended: Vec<Segment<'_>> = segments.iter().take(index + 1).cloned().collect();
                if let Some(last) = ended.last_mut() {
                    let end = last.iter().position(is_end).unwrap_or(last.len());
                    *last = Cow::Owned(last[..end].to_vec());
                }
                ended
            });
        if let Some(ended) = &ended {
            self.arrange(ended)?;
        }
        for segments in [Some(&segments), ended.as_ref()].into_iter().flatten() {
            if segments.iter().any(|segment| segment.contains(&b';')) {
                let bare: Vec<_> =
                    segments.iter().map(|segment| Cow::Borrowed(without_parameters(segment))).collect();
                self.arrange(&bare)?;
            }
        }
        Ok(())
    }

    /// As they stand; slashes merged and dot segments resolved, one of the two or both in either order.
    fn arrange(&mut self, segments: &[Segment<'_>]) -> Result<(), Reason> {
        self.add(segments, false)?;
        let has_dots = segments.iter().any(|segment| is_dots(segment));
        let resolved = if has_dots { resolve_dots(segments) } else { Vec::new() };
        if has_dots {
            self.add(&resolved, false)?;
        }
        if has_empty(&resolved) {
            self.add(&merge(&resolved), true)?;
        }
        if has_empty(segments) {
            let merged = merge(segments);
            self.add(&merged, true)?;
            if has_dots {
                self.add(&resolve_dots(&merged), true)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, segments: &[Segment<'_>], is_merged: bool) -> Result<(), Reason> {
        let bytes: usize = segments.iter().map(|segment| segment.len() + SEGMENT_BYTES).sum();
        self.left = self.left.checked_sub(bytes).ok_or(Reason::BadPath)?;
        let mut text = String::with_capacity(bytes);
        for segment in segments {
            text.push('/');
            spell_into(&mut text, segment);
        }
        if text.is_empty() {
            text.push('/');
        }
        if self.found.contains(&text) {
            return Ok(());
        }
        let short = text.strip_suffix('/').filter(|short| is_merged && self.is_run && !short.is_empty());
        let short = short.map(str::to_owned).filter(|short| !self.found.contains(short));
        self.found.push(text);
        self.found.extend(short);
        Ok(())
    }
}

/// The path, decoded not at all, once, twice and so on, until nothing is left to decode.
fn levels(path: &[u8]) -> Result<Vec<Cow<'_, [u8]>>, Reason> {
    let mut levels = vec![Cow::Borrowed(path)];
    while let Some(decoded) = levels.last().and_then(|last| decode(last)) {
        if levels.len() > ESCAPE_LEVELS_MAX
            || decoded.iter().any(u8::is_ascii_control)
            || has_overlong(&decoded)
        {
            return Err(Reason::BadPath);
        }
        levels.push(Cow::Owned(decoded));
    }
    Ok(levels)
}

/// Whether an escape stands for something that means more than itself once it is decoded.
fn hides_meaning(bytes: &[u8]) -> bool {
    let hidden =
        |at| matches!(decode_escape(&bytes[at..]), Some(b'/' | b'\\' | b';' | b'?' | b'#' | b'.' | b'%'));
    bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && hidden(at))
}

/// Encodings of a character that are longer than need be: UTF-8 forbids them, and lenient decoders read other
/// characters out of them (`%c0%ae` is a dot).
fn has_overlong(bytes: &[u8]) -> bool {
    bytes
        .windows(2)
        .any(|pair| matches!(pair, [0xc0 | 0xc1, 0x80..=0xbf] | [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f]))
}

fn decode_times(segment: &[u8], times: usize) -> Segment<'_> {
    let mut decoded = Cow::Borrowed(segment);
    for _ in 0..times {
        match decode(&decoded) {
            Some(next) => decoded = Cow::Owned(next),
            None => break,
        }
    }
    decoded
}

fn without_parameters(segment: &[u8]) -> &[u8] {
    segment.split(|byte| *byte == b';').next().unwrap_or_default()
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

fn has_empty(segments: &[Segment<'_>]) -> bool {
    segments.iter().rev().skip(1).any(|segment| segment.is_empty())
}

/// Leaves empty segments out, but for the one of a slash at the end.
fn merge<'a>(segments: &'a [Segment<'_>]) -> Vec<Segment<'a>> {
    let last = segments.len().saturating_sub(1);
    let stays = |(at, segment): &(usize, &Segment<'_>)| *at == last || !segment.is_empty();
    segments.iter().enumerate().filter(stays).map(|(_, segment)| Cow::Borrowed(&**segment)).collect()
}

fn resolve_dots<'a>(segments: &'a [Segment<'_>]) -> Vec<Segment<'a>> {
    let mut resolved: Vec<Segment<'a>> = Vec::with_capacity(segments.len());
    for segment in segments {
        match &**segment {
            b"." => {}
            b".." => {
                resolved.pop();
            }
            segment => resolved.push(Cow::Borrowed(segment)),
        }
    }
    if segments.last().is_some_and(|last| is_dots(last)) || resolved.is_empty() {
        resolved.push(Cow::Borrowed(b""));
    }
    resolved
}
