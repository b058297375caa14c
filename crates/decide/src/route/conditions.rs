//! What a match demands beside host and path.

use super::SourceWorkload;
use crate::expression::whole;
use crate::{RequestView, host};
use model::route::{ExtraConditions, RouteMatch, RouteRule, SourceMatch, StringMatch, ValueMatch};
use regex::Regex;
use std::borrow::Cow;
use std::sync::Arc;

/// Method, headers and query parameters of one match.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    method: Option<Value>,
    headers: Box<[Wanted]>,
    query: Box<[Wanted]>,
    extra: Option<Box<Extra>>,
}

/// What few rules ask for.
#[derive(Clone, Debug)]
struct Extra {
    without_headers: Box<[Wanted]>,
    scheme: Option<Value>,
    authority: Option<Value>,
    port: Option<u16>,
    source: Option<SourceMatch>,
}

#[derive(Clone, Debug)]
struct Wanted {
    name: Arc<str>,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Present,
    Regex(Regex),
    /// Its regular expression did not compile.
    Nothing,
}

impl Conditions {
    /// `None`: nothing is demanded.
    pub(super) fn compile(matched: &RouteMatch) -> Option<Self> {
        let RouteMatch { method, headers, query, extra, path: _ } = matched;
        let demands = method.is_some() || !headers.is_empty() || !query.is_empty() || extra.is_some();
        demands.then(|| Self {
            method: method.as_ref().map(Value::compile),
            headers: compile_first(headers),
            query: compile_first(query),
            extra: extra.as_deref().map(Extra::compile).map(Box::new),
        })
    }

    pub(super) fn headers_len(&self) -> usize {
        self.headers.len()
    }

    pub(super) fn query_len(&self) -> usize {
        self.query.len()
    }

    pub(super) fn hold(&self, port: u16, source: &SourceWorkload<'_>, request: &RequestView<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method.is_match(request.method.as_bytes()))
            && self.headers.iter().all(|wanted| wanted.header_holds(request))
            && self.query.iter().all(|wanted| wanted.query_holds(request))
            && self.extra.as_ref().is_none_or(|extra| extra.holds(port, source, request))
    }
}

impl Extra {
    fn compile(extra: &ExtraConditions) -> Self {
        let ExtraConditions { without_headers, scheme, authority, port, source } = extra;
        Self {
            // Each of them counts, also several on one name.
            without_headers: without_headers.iter().map(Wanted::compile).collect(),
            scheme: scheme.as_ref().map(Value::compile),
            authority: authority.as_ref().map(Value::compile),
            port: *port,
            source: source.clone(),
        }
    }

    fn holds(&self, port: u16, source: &SourceWorkload<'_>, request: &RequestView<'_>) -> bool {
        let scheme = if request.is_https() { "https" } else { "http" };
        self.port.is_none_or(|own| own == port)
            && self.scheme.as_ref().is_none_or(|wanted| wanted.is_match(scheme.as_bytes()))
            && self.authority.as_ref().is_none_or(|wanted| authority_holds(wanted, request.host))
            && self.source.as_ref().is_none_or(|wanted| source_holds(wanted, source))
            && !self.without_headers.iter().any(|wanted| wanted.header_holds(request))
    }
}

/// A port that the caller names may be named by the condition or not.
fn authority_holds(wanted: &Value, authority: &str) -> bool {
    wanted.is_match(host::with_port(authority).as_bytes())
        || wanted.is_match(host::canonical(authority).as_bytes())
}

/// Whether some match of the rule is for this workload's proxy.
pub(super) fn is_for(rule: &RouteRule, source: &SourceWorkload<'_>) -> bool {
    let is_for = |one: &RouteMatch| {
        let wanted = one.extra.as_deref().and_then(|extra| extra.source.as_ref());
        wanted.is_none_or(|wanted| source_holds(wanted, source))
    };
    rule.matches.is_empty() || rule.matches.iter().any(is_for)
}

fn source_holds(wanted: &SourceMatch, source: &SourceWorkload<'_>) -> bool {
    wanted.namespace.as_deref().is_none_or(|namespace| namespace == source.namespace)
        && wanted.labels.iter().all(|label| source.labels.contains(label))
}

/// The first of several conditions on one name counts (Gateway API).
fn compile_first(values: &[ValueMatch]) -> Box<[Wanted]> {
    let mut wanted: Vec<Wanted> = Vec::with_capacity(values.len());
    for value in values {
        if !wanted.iter().any(|earlier| earlier.name == value.name) {
            wanted.push(Wanted::compile(value));
        }
    }
    wanted.into()
}

impl Wanted {
    fn compile(ValueMatch { name, value }: &ValueMatch) -> Self {
        Self { name: Arc::clone(name), value: Value::compile(value) }
    }

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
    fn compile(value: &StringMatch) -> Self {
        match value {
            StringMatch::Exact(text) => Self::Exact(Arc::clone(text)),
            StringMatch::Prefix(text) => Self::Prefix(Arc::clone(text)),
            StringMatch::Present => Self::Present,
            StringMatch::Regex(pattern) => whole(pattern).map_or(Self::Nothing, Self::Regex),
        }
    }

    fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Present => true,
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
