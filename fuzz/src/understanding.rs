//! What somebody made of the bytes of a case, in a form in which all can be compared.

use http::{HeaderMap, header};

/// A message as it was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TakenMessage {
    /// Of a request its method and target, of a response its status.
    pub(crate) start: String,
    /// Of a request: whom it is for.
    pub(crate) host: String,
    /// Fields beside those that say host and length; `None`: not known.
    pub(crate) fields: Option<Vec<String>>,
    pub(crate) body: Vec<u8>,
    /// Its end came.
    pub(crate) is_whole: bool,
}

impl TakenMessage {
    /// Notes what came behind the body.
    pub(crate) fn take_trailers(&mut self, trailers: Option<&HeaderMap>) {
        let lines = trailers.map(|trailers| lines(trailers, &[])).unwrap_or_default();
        if let Some(fields) = &mut self.fields {
            fields.extend(lines.into_iter().map(|line| format!("behind: {line}")));
        }
    }
}

/// All that was taken of a case, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Understanding {
    pub(crate) taken: Vec<TakenMessage>,
    pub(crate) end: String,
}

impl Understanding {
    /// How it ended, without what was answered before.
    pub(crate) fn verdict(&self) -> &str {
        self.end.rsplit("; ").next().unwrap_or_default()
    }

    /// The message in this place, if its end came.
    pub(crate) fn whole(&self, at: usize) -> Option<&TakenMessage> {
        self.taken.get(at).filter(|message| message.is_whole)
    }
}

/// What a request is for in one form: the target without scheme and host, and the host, which the target may say too.
pub(crate) fn canonical(method: &str, target: &str, host: &str) -> (String, String) {
    let lower = target.to_ascii_lowercase();
    let scheme = ["http://", "https://"].into_iter().find(|scheme| lower.starts_with(scheme));
    match scheme {
        _ if method == "CONNECT" => (format!("CONNECT {target}"), target.to_owned()),
        Some(scheme) => {
            let rest = &target[scheme.len()..];
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let slash = if path.starts_with('/') { "" } else { "/" };
            (format!("{method} {slash}{path}"), authority.to_owned())
        }
        None => (format!("{method} {target}"), host.to_owned()),
    }
}

/// The host without its port, in lower case.
pub(crate) fn host_name(host: &str) -> String {
    let lower = host.to_ascii_lowercase();
    let end = match lower.rfind(']') {
        Some(end) => end + 1,
        None => lower.find(':').unwrap_or(lower.len()),
    };
    lower[..end].to_owned()
}

/// Bytes as text in which different bytes look different, whatever they are in UTF-8.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            text.extend(byte.escape_ascii().map(char::from));
        }
    }
    text
}

/// Fields that can be compared, in an order of their own.
pub(crate) fn fields(headers: &HeaderMap) -> Option<Vec<String>> {
    Some(lines(headers, &[header::HOST, header::CONTENT_LENGTH]))
}

/// All fields but these, sorted.
fn lines(headers: &HeaderMap, without: &[header::HeaderName]) -> Vec<String> {
    let others = headers.iter().filter(|(name, _)| !without.contains(name) && *name != header::COOKIE);
    let mut lines: Vec<String> =
        others.map(|(name, value)| format!("{name}: {}", text(value.as_bytes()))).collect();
    // In HTTP/2 one may come in several pieces.
    let cookies: Vec<String> =
        headers.get_all(header::COOKIE).iter().map(|value| text(value.as_bytes())).collect();
    if !cookies.is_empty() {
        lines.push(format!("cookie: {}", cookies.join("; ")));
    }
    lines.sort();
    lines
}

/// The first field of this name, or nothing.
pub(crate) fn field(headers: &HeaderMap, name: &header::HeaderName) -> String {
    headers.get(name).map(|value| text(value.as_bytes())).unwrap_or_default()
}

/// The statuses of HTTP/1 answers.
pub(crate) fn statuses(answers: &[u8]) -> String {
    let text = String::from_utf8_lossy(answers);
    let status = |line: &str| line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).map(str::to_owned);
    text.lines().filter_map(status).collect::<Vec<_>>().join(" ")
}
