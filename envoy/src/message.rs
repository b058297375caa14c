//! HTTP/1.1 as it stands on the wire: just enough for a caller and a backend of ours, who are written to by proxies alone.

use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, Read};

/// Longer heads and bodies are nobody's here.
const BYTES_MAX: u64 = 1 << 20;

/// A request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Request or status line.
    pub(crate) first: String,
    /// In the order in which they came; names in small letters.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What a body's end depends on beside its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyRule {
    /// Of a request.
    Request,
    /// Of a response to HEAD.
    Never,
    /// Of any other response.
    Response,
}

impl Message {
    /// The first value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The status of a response, or the target of a request.
    pub(crate) fn second_word(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }
}

/// The next message; `None` where the other end has closed.
///
/// # Errors
/// What is no message.
pub(crate) fn read(reader: &mut impl BufRead, rule: BodyRule) -> Result<Option<Message>> {
    let Some(first) = line(reader)? else { return Ok(None) };
    let mut message = Message { first, ..Message::default() };
    loop {
        let line = line(reader)?.context("the head broke off")?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').with_context(|| format!("no field: {line:?}"))?;
        message.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    message.body = String::from_utf8_lossy(&body(reader, &message, rule)?).into_owned();
    Ok(Some(message))
}

fn body(reader: &mut impl BufRead, message: &Message, rule: BodyRule) -> Result<Vec<u8>> {
    let has_none = match rule {
        BodyRule::Never => true,
        BodyRule::Request => false,
        BodyRule::Response => {
            matches!(message.second_word(), "204" | "304") || message.second_word().starts_with('1')
        }
    };
    let mut body = Vec::new();
    if has_none {
        return Ok(body);
    }
    if message.field("transfer-encoding").is_some() {
        loop {
            let size = line(reader)?.context("the body broke off")?;
            let size = u64::from_str_radix(&size, 16).with_context(|| format!("no size: {size:?}"))?;
            if size == 0 {
                while !line(reader)?.context("the trailers broke off")?.is_empty() {}
                return Ok(body);
            }
            exactly(reader, size, &mut body)?;
            ensure!(line(reader)?.as_deref() == Some(""), "no end of line behind a chunk");
        }
    }
    match message.field("content-length") {
        Some(length) => exactly(reader, length.parse()?, &mut body)?,
        None if rule == BodyRule::Request => {}
        None => drop(reader.take(BYTES_MAX).read_to_end(&mut body)?),
    }
    Ok(body)
}

fn exactly(reader: &mut impl BufRead, length: u64, into: &mut Vec<u8>) -> Result<()> {
    let before = into.len();
    reader.take(length).read_to_end(into)?;
    ensure!((into.len() - before) as u64 == length, "the body broke off");
    Ok(())
}

/// Without its end; `None` at the end of all.
fn line(reader: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    reader.take(BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let Some(text) = line.strip_suffix(b"\r\n") else { bail!("a line that does not end: {line:?}") };
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}
