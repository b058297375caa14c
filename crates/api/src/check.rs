//! What the types cannot say: names, ranges, formats, and the rules of the CRDs between fields.

mod core;
mod gateway;
mod httproute;
pub(crate) mod ignored;
mod istio;
mod leno;

use crate::decode::Problem;
use crate::kinds::Kind;
use crate::node::{Node, Value};
use crate::object::{Meta, ResourceVersion, Spec};
use crate::parse::{DEFAULT_NAMESPACE, RawMeta};
use model::Code;
use std::collections::BTreeMap;

/// Largest compiled expression, in bytes, as in `decide::route`; more: a finding.
const REGEX_COMPILED_BYTES_MAX: usize = 256 * 1024;
/// Expressions in one document; more: a finding. With the bound above, no document costs a proxy more than 16 MiB.
const REGEXES_MAX: usize = 64;

/// Problems of one document, placed by the path of the field.
pub(crate) struct Report<'a> {
    node: &'a Node,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    refused: bool,
    regexes: usize,
}

impl<'a> Report<'a> {
    pub(crate) fn new(node: &'a Node) -> Self {
        Self { node, problems: Vec::new(), warnings: Vec::new(), refused: false, regexes: 0 }
    }

    /// The object cannot be used.
    pub(crate) fn refuse(&mut self, code: Code, path: &str, cause: &str, fix: impl Into<String>) {
        self.refused = true;
        self.allow_with_finding(code, path, cause, fix);
    }

    /// The object is used all the same, and fails closed where it was not understood.
    pub(crate) fn allow_with_finding(&mut self, code: Code, path: &str, cause: &str, fix: impl Into<String>) {
        let problem = self.problem(code, path, cause, fix.into());
        self.problems.push(problem);
    }

    fn problem(&self, code: Code, path: &str, cause: &str, fix: String) -> Problem {
        Problem { code, line: self.node.line_of(path), cause: format!("`{path}` {cause}"), fix }
    }

    /// The object is used as if this were not there. Said, so that nobody relies on it.
    pub(crate) fn no_effect(&mut self, path: &str, cause: &str, fix: impl Into<String>) {
        let warning = self.problem(Code::Ignored, path, cause, fix.into());
        self.warnings.push(warning);
    }

    /// Shorthand for a field that nobody reads.
    pub(crate) fn ignored(&mut self, path: &str, fix: impl Into<String>) {
        self.no_effect(path, "is not supported yet and has no effect", fix);
    }

    /// Shorthand for the most common refusal.
    pub(crate) fn bad(&mut self, path: &str, cause: &str, fix: impl Into<String>) {
        self.refuse(Code::BadValue, path, cause, fix);
    }

    /// Shorthand for something valid that is not there yet. Following `fix` to the letter must leave a valid
    /// object that does not allow more than was meant.
    pub(crate) fn later(&mut self, path: &str, what: &str, fix: impl Into<String>) {
        self.refused = true;
        let (line, cause) = (self.node.line_of(path), format!("`{path}`: {what} is not supported yet"));
        self.problems.push(Problem { code: Code::Unsupported, line, cause, fix: fix.into() });
    }

    /// Problems found while decoding: all of them refuse the object.
    pub(crate) fn refuse_all(&mut self, problems: Vec<Problem>) {
        self.refused |= !problems.is_empty();
        self.problems.extend(problems);
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Problems, then warnings.
    pub(crate) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems, self.warnings)
    }

    /// More than `max` entries.
    pub(crate) fn at_most(&mut self, path: &str, count: usize, max: usize) {
        if count > max {
            self.bad(path, &format!("has {count} entries, more than {max}"), "split the object");
        }
    }

    pub(crate) fn subdomain(&mut self, path: &str, text: &str) {
        if !is_subdomain(text) {
            let cause = format!("cannot be `{text}`");
            self.bad(
                path,
                &cause,
                "use lower-case letters, digits, `-` and `.`, at most 253, as in DNS names",
            );
        }
    }

    pub(crate) fn label(&mut self, path: &str, text: &str) {
        if !is_label(text) {
            self.bad(
                path,
                &format!("cannot be `{text}`"),
                "use at most 63 lower-case letters, digits and `-`",
            );
        }
    }

    pub(crate) fn port(&mut self, path: &str, port: u16) {
        if port == 0 {
            self.bad(path, "cannot be 0", "write a port from 1 to 65535");
        }
    }

    pub(crate) fn regex(&mut self, path: &str, text: &str) {
        const REGEX_BYTES_MAX: usize = 1024;
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            // Said once: the rest is not even compiled.
            if self.regexes == REGEXES_MAX + 1 {
                let cause = format!("is one of more than {REGEXES_MAX} regular expressions");
                self.bad(path, &cause, "use exact values or prefixes, or split the object");
            }
            return;
        }
        if text.len() > REGEX_BYTES_MAX {
            self.bad(path, &format!("has more than {REGEX_BYTES_MAX} bytes"), "shorten the expression");
            return;
        }
        // As `decide` builds it: alone first, because `a)(b` must not become valid by our brackets.
        let build = |text: &str| regex::RegexBuilder::new(text).size_limit(REGEX_COMPILED_BYTES_MAX).build();
        if let Err(error) = build(text).and_then(|_| build(&format!("^(?:{text})$"))) {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            self.bad(path, &format!("is not a valid regular expression: {reason}"), "write it in RE2 syntax");
        }
    }
}

/// DNS-1123 label.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

fn is_part(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// DNS-1123 subdomain; Kubernetes limits the whole, not each part.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

/// A host name that a person writes: lower case, no address; with `wildcard` also `*.example.com`.
pub(crate) fn is_host(text: &str, wildcard: bool) -> bool {
    let name = if wildcard { text.strip_prefix("*.").unwrap_or(text) } else { text };
    name.len() <= 253 && name.split('.').all(is_label) && name.parse::<std::net::IpAddr>().is_err()
}

/// An RFC 9110 token: the name of a header or method.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Labels as Kubernetes takes them.
fn labels(path: &str, labels: &BTreeMap<String, String>, report: &mut Report<'_>) {
    let word = |text: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        bytes.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    for (key, value) in labels {
        let (prefix, name) = key.split_once('/').map_or((None, key.as_str()), |(p, n)| (Some(p), n));
        if !word(name) || prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
            report.bad(
                path,
                &format!("has the key `{key}`, which is no label"),
                "write `name` or `domain/name`",
            );
        }
        if !value.is_empty() && !word(value) {
            let cause = format!("has `{key}: {value}`, which is no label value");
            report.bad(path, &cause, "use at most 63 letters, digits, `-`, `_` and `.`");
        }
    }
}

/// Checks and completes `metadata`.
pub(crate) fn meta(raw: RawMeta, kind: &Kind, report: &mut Report<'_>) -> Meta {
    let name = raw.name.unwrap_or_default();
    if name.is_empty() {
        report.refuse(Code::MissingField, "metadata.name", "is missing", "add `metadata.name`");
    } else {
        // A Service's name is a label of a DNS name.
        match kind.kind {
            "Service" => report.label("metadata.name", &name),
            _ => report.subdomain("metadata.name", &name),
        }
    }
    let namespace = match (kind.namespaced, raw.namespace) {
        (false, _) => String::new(),
        (true, None) => DEFAULT_NAMESPACE.to_owned(),
        (true, Some(namespace)) if namespace.is_empty() => DEFAULT_NAMESPACE.to_owned(),
        (true, Some(namespace)) => {
            report.label("metadata.namespace", &namespace);
            namespace
        }
    };
    labels("metadata.labels", &raw.labels, report);
    let created = match raw.creation_timestamp.as_deref().map(|text| (text, timestamp(text))) {
        None => 0,
        Some((_, Some(created))) => created,
        Some((text, None)) => {
            let cause = format!("cannot be `{text}`");
            report.bad(
                "metadata.creationTimestamp",
                &cause,
                "write it as 2026-01-31T12:00:00Z, or leave it out",
            );
            0
        }
    };
    Meta {
        name: name.into(),
        namespace: namespace.into(),
        labels: raw.labels,
        annotations: raw.annotations,
        created,
        generation: raw.generation.unwrap_or(0),
        resource_version: resource_version(report.node),
    }
}

fn resource_version(node: &Node) -> Option<ResourceVersion> {
    let found = node.find("metadata.resourceVersion")?;
    let text = match &found.value {
        Value::String(text) => text.clone(),
        // A person who writes it leaves out the quotes.
        _ => found.to_json().to_string(),
    };
    (!matches!(text.as_str(), "" | "0" | "null")).then_some(ResourceVersion { text, line: found.line })
}

/// Checks `spec`.
pub(crate) fn spec(spec: &Spec, meta: &Meta, report: &mut Report<'_>) {
    match spec {
        Spec::Namespace => {}
        Spec::Service(spec) => core::service(spec, report),
        Spec::Gateway(spec) => gateway::gateway(spec, meta, report),
        Spec::HttpRoute(spec) => httproute::http_route(spec, report),
        Spec::WorkloadGroup(spec) => istio::workload_group(spec, report),
        Spec::AuthorizationPolicy(spec) => istio::authorization_policy(spec, meta, report),
        Spec::MeshSettings(spec) => leno::mesh_settings(spec, report),
        Spec::Cluster(spec) => leno::cluster(spec, report),
        Spec::GlobalService(spec) => leno::global_service(spec, report),
        Spec::Backend(spec) => leno::backend(spec, report),
    }
}

/// Seconds since the epoch of an RFC 3339 time in UTC (`2026-01-31T12:00:00Z`, fractions dropped).
fn timestamp(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let mut time = time.split(':').map(number);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days from civil: years begin in March, so that leap days come last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1;
    const DAYS_TO_1970: u64 = 719_468;
    Some((days.checked_sub(DAYS_TO_1970)?) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests;
