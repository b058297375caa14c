//! Delegation: a route that names another `VirtualService` stands for all routes of that one, each merged with it. Of
//! a match one must be a part of the other; where none is, the route cannot be reached, which is told.

use crate::units::WorldReader;
use crate::units::istio::name::Audience;
use crate::units::missing::RouteFindings;
use api::fields::string_match::StringMatchSpec;
use api::kinds::virtual_service::{DelegateSpec, VirtualHttpMatch, VirtualHttpRoute, VirtualServiceSpec};
use api::{Object, Spec};
use model::{Code, Finding, ObjectRef, Origin};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A route, and the object that says where it leads.
pub(super) struct MergedRoute<'w> {
    pub(super) object: &'w Object,
    pub(super) spec: Cow<'w, VirtualHttpRoute>,
    /// Where the object with the hosts delegates to it: what is wrong is told of that one.
    pub(super) delegated_at: Option<Origin>,
}

/// The routes of an object for HTTP, those of others that it delegates to in their place.
pub(super) fn routes<'w>(
    object: &'w Object,
    spec: &'w VirtualServiceSpec,
    read: &WorldReader<'w>,
    findings: &mut RouteFindings,
) -> Vec<MergedRoute<'w>> {
    let mut routes = Vec::new();
    for route in &spec.http {
        let Some(delegate) = &route.delegate else {
            routes.push(MergedRoute { object, spec: Cow::Borrowed(route), delegated_at: None });
            continue;
        };
        let Some((of, delegated)) = find(object, delegate, read, findings) else { continue };
        for leaf in &delegated.http {
            match merge(route, leaf) {
                Some(merged) => {
                    let delegated_at = Some(object.at(route.line));
                    routes.push(MergedRoute { object: of, spec: Cow::Owned(merged), delegated_at });
                }
                None => findings.push((conflict(object, route, of, leaf), None)),
            }
        }
    }
    routes
}

fn conflict(root: &Object, route: &VirtualHttpRoute, of: &Object, leaf: &VirtualHttpRoute) -> Finding {
    let at = of.at(leaf.line);
    let place =
        if at.file.is_empty() { format!("line {}", at.line) } else { format!("{}:{}", at.file, at.line) };
    let cause = format!(
        "a route of {} ({place}) has no match that is part of one here, so it is left out",
        of.object
    );
    let fix = "let its `uri`, `headers` and the like begin with those of the route that delegates to it";
    Finding::new(Code::RouteConflict, &root.at(route.line), cause, fix)
}

/// The object that is delegated to.
fn find<'w>(
    object: &Object,
    delegate: &DelegateSpec,
    read: &WorldReader<'w>,
    findings: &mut RouteFindings,
) -> Option<(&'w Object, &'w VirtualServiceSpec)> {
    let own = &object.meta.namespace;
    let namespace = delegate.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or(own);
    let target = ObjectRef::new("VirtualService", namespace, delegate.name.as_deref().unwrap_or_default());
    let mut refuse = |cause: String, fix: &str, missing: Option<ObjectRef>| {
        let finding = Finding::new(Code::ReferenceNotFound, &object.at(delegate.line), cause, fix);
        findings.push((finding, missing));
        None
    };
    let Some(found) = read.object(&target) else {
        let cause = format!("delegate {target} does not exist, so the route is left out");
        return refuse(cause, "", Some(target));
    };
    let Spec::VirtualService(spec) = &found.spec else { return None };
    if !spec.is_delegate() {
        let cause = format!("delegate {target} has hosts of its own, so the route is left out");
        return refuse(cause, "remove `spec.hosts` there", None);
    }
    if !Audience::new(&spec.export_to, &found.meta.namespace).has(own) {
        let cause = format!("delegate {target} is not exported to namespace {own}, so the route is left out");
        return refuse(cause, "add the namespace to its `spec.exportTo`", None);
    }
    Some((found, spec))
}

/// A route of a delegate with what the route that delegates to it says; `None`: no match of it is part of one there.
fn merge(root: &VirtualHttpRoute, leaf: &VirtualHttpRoute) -> Option<VirtualHttpRoute> {
    let mut merged = leaf.clone();
    merged.matches = matches(&root.matches, &leaf.matches)?;
    merged.name = joined(&root.name, &leaf.name);
    merged.rewrite = merged.rewrite.or_else(|| root.rewrite.clone());
    merged.timeout = merged.timeout.or_else(|| root.timeout.clone());
    merged.retries = merged.retries.or_else(|| root.retries.clone());
    merged.fault = merged.fault.or_else(|| root.fault.clone());
    merged.mirror = merged.mirror.or_else(|| root.mirror.clone());
    merged.mirror_percent = merged.mirror_percent.or(root.mirror_percent);
    merged.mirror_percent_old = merged.mirror_percent_old.or(root.mirror_percent_old);
    merged.mirror_percentage = merged.mirror_percentage.or(root.mirror_percentage);
    if merged.mirrors.is_empty() {
        merged.mirrors.clone_from(&root.mirrors);
    }
    merged.cors_policy = merged.cors_policy.or_else(|| root.cors_policy.clone());
    merged.headers = merged.headers.or_else(|| root.headers.clone());
    Some(merged)
}

fn joined(root: &Option<String>, leaf: &Option<String>) -> Option<String> {
    match (root.as_deref().unwrap_or_default(), leaf.as_deref().unwrap_or_default()) {
        ("", "") => None,
        (one, "") | ("", one) => Some(one.to_owned()),
        (root, leaf) => Some(format!("{root}-{leaf}")),
    }
}

fn matches(root: &[VirtualHttpMatch], leaf: &[VirtualHttpMatch]) -> Option<Vec<VirtualHttpMatch>> {
    if root.is_empty() || leaf.is_empty() {
        return Some([root, leaf].concat());
    }
    let mut merged = Vec::new();
    for leaf in leaf {
        let before = merged.len();
        merged.extend(root.iter().filter(|root| is_part(root, leaf)).map(|root| one_match(root, leaf)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

fn one_match(root: &VirtualHttpMatch, leaf: &VirtualHttpMatch) -> VirtualHttpMatch {
    let both = |root: &BTreeMap<String, StringMatchSpec>, leaf: &BTreeMap<String, StringMatchSpec>| {
        let mut all = root.clone();
        all.extend(leaf.clone());
        all
    };
    VirtualHttpMatch {
        name: joined(&root.name, &leaf.name),
        uri: leaf.uri.clone().or_else(|| root.uri.clone()),
        scheme: leaf.scheme.clone().or_else(|| root.scheme.clone()),
        method: leaf.method.clone().or_else(|| root.method.clone()),
        authority: leaf.authority.clone().or_else(|| root.authority.clone()),
        headers: both(&root.headers, &leaf.headers),
        without_headers: both(&root.without_headers, &leaf.without_headers),
        query_params: both(&root.query_params, &leaf.query_params),
        port: leaf.port.or(root.port),
        ignore_uri_case: leaf.ignore_uri_case.or(root.ignore_uri_case),
        // Who calls is said by the object with the hosts.
        source_labels: root.source_labels.clone(),
        source_namespace: root.source_namespace.clone(),
        gateways: root.gateways.clone(),
        stat_prefix: None,
        line: leaf.line,
    }
}

/// Whether what `leaf` matches is part of what `root` matches, as far as both say something.
fn is_part(root: &VirtualHttpMatch, leaf: &VirtualHttpMatch) -> bool {
    let parts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let of_maps = [
        (&root.headers, &leaf.headers),
        (&root.query_params, &leaf.query_params),
        (&root.without_headers, &leaf.without_headers),
    ];
    let is_in_map =
        |(root, leaf): (&BTreeMap<String, StringMatchSpec>, &BTreeMap<String, StringMatchSpec>)| {
            leaf.iter().all(|(name, leaf)| root.get(name).is_none_or(|root| is_text_part(root, leaf)))
        };
    parts.into_iter().all(|pair| match pair {
        (Some(root), Some(leaf)) => is_text_part(root, leaf),
        _ => true,
    }) && of_maps.into_iter().all(is_in_map)
        && root.ignore_uri_case.unwrap_or(false) == leaf.ignore_uri_case.unwrap_or(false)
        && (root.port.is_none() || leaf.port.is_none() || root.port == leaf.port)
}

fn is_text_part(root: &StringMatchSpec, leaf: &StringMatchSpec) -> bool {
    let text = leaf.exact.as_deref().or(leaf.prefix.as_deref());
    match (root.exact.as_deref(), root.prefix.as_deref()) {
        (Some(exact), _) => leaf.exact.as_deref() == Some(exact),
        (None, Some(prefix)) => text.is_some_and(|text| text.starts_with(prefix)),
        // Regular expressions are refused where something is delegated; what is left says nothing.
        (None, None) => root.regex.is_none(),
    }
}
