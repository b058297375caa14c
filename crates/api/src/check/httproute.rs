//! Rules for `HTTPRoute`: those of the CRD (its CEL rules) that matter without Kubernetes.

mod filters;

use super::{Report, is_host, is_token};
use crate::duration;
use crate::httproute::{
    HttpBackendRef, HttpRouteMatch, HttpRouteRule, HttpRouteSpec, Method, ParentRef, PathMatch,
    PathMatchType, Retry, Timeouts, ValueMatch, ValueMatchType,
};
use crate::kinds::{GATEWAY_GROUP, LENO_GROUP};
use model::Code;
use std::collections::HashSet;
use std::time::Duration;

const PARENTS_MAX: usize = 32;
const HOSTNAMES_MAX: usize = 16;
const RULES_MAX: usize = 16;
const MATCHES_MAX: usize = 64;
const MATCHES_OF_ROUTE_MAX: usize = 128;
const CONDITIONS_MAX: usize = 16;
const BACKENDS_MAX: usize = 16;
const WEIGHT_MAX: u32 = 1_000_000;
const RETRY_ATTEMPTS_MAX: u32 = 25;
const PATH_BYTES_MAX: usize = 1024;

pub(super) fn http_route(spec: &HttpRouteSpec, report: &mut Report<'_>) {
    report.at_most("spec.parentRefs", spec.parent_refs.len(), PARENTS_MAX);
    for (index, parent) in spec.parent_refs.iter().enumerate() {
        parent_ref(parent, &format!("spec.parentRefs[{index}]"), report);
    }
    report.at_most("spec.hostnames", spec.hostnames.len(), HOSTNAMES_MAX);
    for (index, host) in spec.hostnames.iter().enumerate() {
        if !is_host(host, true) {
            let path = format!("spec.hostnames[{index}]");
            report.bad(&path, &format!("cannot be `{host}`"), "write a lower-case name, or `*.` and a name");
        }
    }
    let is_gateway = |parent: &ParentRef| parent.kind.as_deref().unwrap_or("Gateway") == "Gateway";
    if !spec.hostnames.is_empty() && !spec.parent_refs.is_empty() && !spec.parent_refs.iter().any(is_gateway)
    {
        // GAMMA: a service's route takes what goes to the service, by whatever name it was called.
        report.no_effect("spec.hostnames", "has no effect on a route of services", "remove it");
    }
    report.at_most("spec.rules", spec.rules.len(), RULES_MAX);
    let matches: usize = spec.rules.iter().map(|rule| rule.matches.len()).sum();
    if matches > MATCHES_OF_ROUTE_MAX {
        let cause = format!("have {matches} matches together, more than {MATCHES_OF_ROUTE_MAX}");
        report.bad("spec.rules", &cause, "split the route");
    }
    let mut names = HashSet::new();
    for (index, rule) in spec.rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        if let Some(name) = &rule.name {
            report.subdomain(&format!("{at}.name"), name);
            if !names.insert(name) {
                report.bad(&format!("{at}.name"), &format!("`{name}` occurs twice"), "use another name");
            }
        }
        one_rule(rule, &at, report);
    }
}

fn parent_ref(parent: &ParentRef, at: &str, report: &mut Report<'_>) {
    report.subdomain(&format!("{at}.name"), &parent.name);
    if let Some(namespace) = &parent.namespace {
        report.label(&format!("{at}.namespace"), namespace);
    }
    if let Some(port) = parent.port {
        report.port(&format!("{at}.port"), port);
    }
    let group = parent.group.as_deref().unwrap_or(GATEWAY_GROUP);
    let kind = parent.kind.as_deref().unwrap_or("Gateway");
    match (group, kind) {
        (GATEWAY_GROUP, "Gateway") => {}
        ("", "Service") | (LENO_GROUP, "GlobalService") => {
            if parent.section_name.is_some() {
                let fix = "remove it, and write `port` to choose one port";
                report.later(&format!("{at}.sectionName"), &format!("sectionName of a {kind}"), fix);
            }
        }
        (_, "Service") => {
            report.bad(&format!("{at}.group"), "is not that of Service", "write `group: \"\"`");
        }
        (_, "GlobalService") => {
            report.bad(&format!("{at}.group"), "is not that of GlobalService", "write `group: leno.dev`");
        }
        _ => {
            let fix = "name a Gateway, a Service or a GlobalService";
            report.later(&format!("{at}.kind"), &format!("parent kind {kind} of group `{group}`"), fix);
        }
    }
}

fn one_rule(rule: &HttpRouteRule, at: &str, report: &mut Report<'_>) {
    report.at_most(&format!("{at}.matches"), rule.matches.len(), MATCHES_MAX);
    for (index, one) in rule.matches.iter().enumerate() {
        one_match(one, &format!("{at}.matches[{index}]"), report);
    }
    filters::filters(rule, at, report);
    report.at_most(&format!("{at}.backendRefs"), rule.backend_refs.len(), BACKENDS_MAX);
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        backend_ref(backend, &format!("{at}.backendRefs[{index}]"), report);
    }
    if let Some(limits) = &rule.timeouts {
        timeouts(limits, &format!("{at}.timeouts"), report);
    }
    if let Some(policy) = &rule.retry {
        retry(policy, &format!("{at}.retry"), report);
        let is_repeated_never =
            |one: &HttpRouteMatch| one.method.is_some_and(|method| !is_idempotent(method));
        if !policy.codes.is_empty() && !rule.matches.is_empty() && rule.matches.iter().all(is_repeated_never)
        {
            let cause = "has no effect: the rule's methods are not repeated once a request may have arrived";
            report.no_effect(&format!("{at}.retry.codes"), cause, "remove it");
        }
    }
}

fn one_match(one: &HttpRouteMatch, at: &str, report: &mut Report<'_>) {
    if let Some(path) = &one.path {
        path_match(path, &format!("{at}.path"), report);
    }
    values(&one.headers, &format!("{at}.headers"), Case::Ignored, report);
    values(&one.query_params, &format!("{at}.queryParams"), Case::Kept, report);
}

enum Case {
    Ignored,
    Kept,
}

fn values(conditions: &[ValueMatch], at: &str, case: Case, report: &mut Report<'_>) {
    report.at_most(at, conditions.len(), CONDITIONS_MAX);
    let mut names = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        if !is_token(&condition.name) {
            report.bad(
                &format!("{at}[{index}].name"),
                &format!("cannot be `{}`", condition.name),
                "write a token",
            );
        }
        let name = match case {
            Case::Ignored => condition.name.to_ascii_lowercase(),
            Case::Kept => condition.name.clone(),
        };
        if !names.insert(name) {
            let cause = format!("`{}` occurs twice", condition.name);
            report.bad(&format!("{at}[{index}].name"), &cause, "put one condition on each name");
        }
        let path = format!("{at}[{index}].value");
        if condition.match_type == Some(ValueMatchType::RegularExpression) {
            report.regex(&path, &condition.value);
        } else if condition.value.is_empty() {
            report.bad(&path, "is empty", "write the value");
        }
    }
}

fn path_match(path: &PathMatch, at: &str, report: &mut Report<'_>) {
    let Some(value) = &path.value else { return };
    let at = format!("{at}.value");
    match path.match_type {
        Some(PathMatchType::RegularExpression) => report.regex(&at, value),
        Some(PathMatchType::Exact | PathMatchType::PathPrefix) | None => {
            if let Some(cause) = path_fault(value) {
                report.bad(&at, cause, "write a normalised path such as /a/b");
            }
        }
    }
}

/// What is wrong with a path in a match or rewrite: nothing that normalising would change may be in it.
fn path_fault(path: &str) -> Option<&'static str> {
    let lower = path.to_ascii_lowercase();
    if !path.starts_with('/') {
        Some("does not begin with `/`")
    } else if path.len() > PATH_BYTES_MAX {
        Some("has more than 1024 bytes")
    } else if path.contains("//") {
        Some("contains `//`")
    } else if path.split('/').any(|segment| segment == "." || segment == "..") {
        Some("contains `.` or `..` as a segment")
    } else if lower.contains("%2f") || path.contains('#') || path.contains('?') {
        Some("contains `%2f`, `#` or `?`")
    } else if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@%".contains(&b)) {
        Some("contains a character that must be percent-encoded")
    } else {
        None
    }
}

fn backend_ref(backend: &HttpBackendRef, at: &str, report: &mut Report<'_>) {
    report.subdomain(&format!("{at}.name"), &backend.name);
    if let Some(namespace) = &backend.namespace {
        report.label(&format!("{at}.namespace"), namespace);
    }
    if let Some(port) = backend.port {
        report.port(&format!("{at}.port"), port);
    }
    if backend.weight.is_some_and(|weight| weight > WEIGHT_MAX) {
        report.bad(&format!("{at}.weight"), &format!("is more than {WEIGHT_MAX}"), "use smaller weights");
    }
    let kind = backend.kind.as_deref().unwrap_or("Service");
    match (backend.group.as_deref().unwrap_or_default(), kind) {
        ("", "Service") if backend.port.is_none() => {
            report.refuse(
                Code::MissingField,
                &format!("{at}.port"),
                "is missing",
                "add the port of the service",
            );
        }
        // An unknown kind is answered with 500 by the specification: `translate` says so.
        _ => {}
    }
}

fn timeouts(limits: &Timeouts, at: &str, report: &mut Report<'_>) {
    let mut read = |field: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        let value = duration::parse(text);
        if value.is_none() {
            let cause = format!("cannot be `{text}`");
            report.bad(&format!("{at}.{field}"), &cause, "write a duration such as 1m30s, 10s or 500ms");
        }
        value
    };
    let (request, attempt) =
        (read("request", &limits.request), read("backendRequest", &limits.backend_request));
    if let (Some(request), Some(attempt)) = (request, attempt)
        && request > Duration::ZERO
        && attempt > request
    {
        report.bad(&format!("{at}.backendRequest"), "is longer than `request`", "shorten it");
    }
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: Method) -> bool {
    match method {
        Method::Get | Method::Head | Method::Options | Method::Trace | Method::Put | Method::Delete => true,
        Method::Post | Method::Patch | Method::Connect => false,
    }
}

fn retry(policy: &Retry, at: &str, report: &mut Report<'_>) {
    for (index, code) in policy.codes.iter().enumerate() {
        if !(400..=599).contains(code) {
            report.bad(
                &format!("{at}.codes[{index}]"),
                &format!("cannot be {code}"),
                "write a status from 400 to 599",
            );
        }
    }
    if let Some(attempts) = policy.attempts
        && !(1..=RETRY_ATTEMPTS_MAX).contains(&attempts)
    {
        let fix = format!("write a number from 1 to {RETRY_ATTEMPTS_MAX}");
        report.bad(&format!("{at}.attempts"), &format!("cannot be {attempts}"), fix);
    }
    if let Some(text) = &policy.backoff
        && duration::parse(text).is_none()
    {
        report.bad(
            &format!("{at}.backoff"),
            &format!("cannot be `{text}`"),
            "write a duration such as 100ms",
        );
    }
}
