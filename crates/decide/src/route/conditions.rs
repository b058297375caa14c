//! What a match demands beside host and path.

use crate::RequestView;
use model::route::{Pattern, RouteMatch, StringMatch, ValueMatch};
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;
use std::sync::Arc;

/// Largest compiled regular expression, in bytes; one that needs more matches nothing.
pub(crate) const REGEX_BYTES_MAX: usize = 256 * 1024;

/// Method, headers and query parameters of one match.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    method: Option<Arc<str>>,
    headers: Box<[Wanted]>,
    query: Box<[Wanted]>,
}

#[derive(Clone, Debug)]
struct Wanted {
    name: Arc<str>,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Exact(Arc<str>),
    Regex(Regex),
    /// Its regular expression did not compile.
    Nothing,
}

impl Conditions {
    /// `None`: nothing is demanded.
    pub(super) fn compile(matched: &RouteMatch) -> Option<Self> {
        let RouteMatch { method, headers, query, .. } = matched;
        let demands = method.is_some() || !headers.is_empty() || !query.is_empty();
        demands.then(|| Self {
            method: method.clone(),
            headers: compile_values(headers),
            query: compile_values(query),
        })
    }

    pub(super) fn headers_len(&self) -> usize {
        self.headers.len()
    }

    pub(super) fn query_len(&self) -> usize {
        self.query.len()
    }

    pub(super) fn hold(&self, request: &RequestView<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method == request.method)
            && self.headers.iter().all(|wanted| wanted.header_holds(request))
            && self.query.iter().all(|wanted| wanted.query_holds(request))
    }
}

/// The first of several conditions on one name counts (Gateway API).
fn compile_values(values: &[ValueMatch]) -> Box<[Wanted]> {
    let mut wanted: Vec<Wanted> = Vec::with_capacity(values.len());
    for ValueMatch { name, value } in values {
        if wanted.iter().any(|earlier| earlier.name == *name) {
            continue;
        }
        let value = match value {
            StringMatch::Exact(text) => Value::Exact(Arc::clone(text)),
            StringMatch::Regex(pattern) => compile_regex(pattern).map_or(Value::Nothing, Value::Regex),
        };
        wanted.push(Wanted { name: Arc::clone(name), value });
    }
    wanted.into()
}

/// Compiles an expression that must match the whole text; `None` when it is invalid or too large.
pub(super) fn compile_regex(pattern: &Pattern) -> Option<Regex> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build().ok();
    // Alone first: `a)(b` must not become valid by our brackets.
    build(&pattern.0)?;
    build(&format!("^(?:{})$", pattern.0))
}

impl Wanted {
    /// Several lines of one header count as one value joined by commas (RFC 9110 section 5.3).
    fn header_holds(&self, request: &RequestView<'_>) -> bool {
        let mut lines = 0;
        let mut held = false;
        request.headers.visit(&self.name, &mut |value| {
            lines += 1;
            held = self.value.is_match(value);
        });
        if lines < 2 {
            return held;
        }
        let mut joined = Vec::new();
        request.headers.visit(&self.name, &mut |value| {
            if !joined.is_empty() {
                joined.push(b',');
            }
            joined.extend_from_slice(value);
        });
        self.value.is_match(&joined)
    }

    /// The first parameter of this name counts (Gateway API recommends it).
    fn query_holds(&self, request: &RequestView<'_>) -> bool {
        let pairs =
            request.query.unwrap_or("").split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let named = |name: &str| decode(name).is_some_and(|name| *name == *self.name.as_bytes());
        let first = pairs.into_iter().find(|(name, _)| named(name));
        first.and_then(|(_, value)| decode(value)).is_some_and(|value| self.value.is_match(&value))
    }
}

impl Value {
    fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Regex(regex) => std::str::from_utf8(value).is_ok_and(|value| regex.is_match(value)),
            Self::Nothing => false,
        }
    }
}

/// Decodes a query component (`+` is a space); `None` for a broken escape.
fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().and_then(|b| (b as char).to_digit(16));
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (digit()? * 16 + digit()?) as u8,
            byte => byte,
        });
    }
    Some(Cow::Owned(decoded))
}
