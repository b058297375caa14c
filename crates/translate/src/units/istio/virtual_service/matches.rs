//! What a route of a `VirtualService` matches, as conditions of a rule at one place.

use super::place::Place;
use api::fields::string_match::StringMatchSpec;
use api::kinds::virtual_service::{VirtualHttpMatch, VirtualHttpRoute};
use model::route::{ExtraConditions, PathMatch, Pattern, RouteMatch, SourceMatch, StringMatch, ValueMatch};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `None`: the route is not for this place.
pub(super) fn compile(
    route: &VirtualHttpRoute,
    namespace: &Arc<str>,
    place: &Place,
) -> Option<Vec<RouteMatch>> {
    let here = |one: &&VirtualHttpMatch| {
        place.is_named(&one.gateways, namespace) && one.port.is_none_or(|port| port == place.port)
    };
    let matches: Vec<RouteMatch> =
        route.matches.iter().filter(here).map(|one| one_match(one, replaces_prefix(route))).collect();
    if matches.is_empty() && !(route.matches.is_empty() && place.is_named(&[], namespace)) {
        return None;
    }
    if matches.is_empty() && replaces_prefix(route) {
        return Some(vec![RouteMatch { path: root(), ..RouteMatch::default() }]);
    }
    Some(matches)
}

/// Whether the route replaces what is matched of the path: without a `uri` that is the slash at the beginning.
fn replaces_prefix(route: &VirtualHttpRoute) -> bool {
    route.rewrite.as_ref().is_some_and(|rewrite| rewrite.uri.is_some())
        || route.redirect.as_ref().is_some_and(|redirect| redirect.prefix_rewrite.is_some())
}

fn root() -> PathMatch {
    PathMatch::StringPrefix("/".into())
}

fn one_match(one: &VirtualHttpMatch, replaces_prefix: bool) -> RouteMatch {
    let path = match &one.uri {
        Some(uri) => path(uri, one.ignore_uri_case == Some(true)),
        None => None,
    };
    RouteMatch {
        path: path.unwrap_or_else(|| if replaces_prefix { root() } else { PathMatch::default() }),
        method: text(one.method.as_ref()),
        headers: values(&one.headers, Case::Lower),
        query: values(&one.query_params, Case::AsWritten),
        extra: extra(one),
    }
}

/// `None`: it says nothing.
fn path(uri: &StringMatchSpec, ignores_case: bool) -> Option<PathMatch> {
    let said = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
    match (said(&uri.exact), said(&uri.prefix), said(&uri.regex)) {
        (Some(exact), ..) if ignores_case => Some(PathMatch::ExactIgnoreCase(exact.into())),
        (Some(exact), ..) => Some(PathMatch::Exact(exact.into())),
        (None, Some(prefix), _) if ignores_case => Some(PathMatch::StringPrefixIgnoreCase(prefix.into())),
        (None, Some(prefix), _) => Some(PathMatch::StringPrefix(prefix.into())),
        (None, None, Some(regex)) => Some(PathMatch::Regex(Pattern(regex.into()))),
        (None, None, None) => None,
    }
}

/// `None`: it says nothing.
fn text(spec: Option<&StringMatchSpec>) -> Option<StringMatch> {
    match string_match(spec?) {
        StringMatch::Present => None,
        other => Some(other),
    }
}

fn string_match(spec: &StringMatchSpec) -> StringMatch {
    let said = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
    match (said(&spec.exact), said(&spec.prefix), said(&spec.regex)) {
        (Some(exact), ..) => StringMatch::Exact(exact.into()),
        (None, Some(prefix), _) => StringMatch::Prefix(prefix.into()),
        (None, None, Some(regex)) => StringMatch::Regex(Pattern(regex.into())),
        (None, None, None) => StringMatch::Present,
    }
}

/// How a name is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    AsWritten,
}

fn values(specs: &BTreeMap<String, StringMatchSpec>, case: Case) -> Vec<ValueMatch> {
    let name = |name: &String| if case == Case::Lower { name.to_ascii_lowercase() } else { name.clone() };
    let value = |(own, spec): (&String, &StringMatchSpec)| ValueMatch {
        name: name(own).into(),
        value: string_match(spec),
    };
    specs.iter().map(value).collect()
}

fn extra(one: &VirtualHttpMatch) -> Option<Box<ExtraConditions>> {
    let namespace = one.source_namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let labels = one.source_labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
    let source = SourceMatch { namespace: namespace.map(Into::into), labels: labels.collect() };
    let extra = ExtraConditions {
        without_headers: values(&one.without_headers, Case::Lower),
        scheme: text(one.scheme.as_ref()),
        authority: text(one.authority.as_ref()),
        port: None,
        source: (source != SourceMatch::default()).then_some(source),
    };
    (extra != ExtraConditions::default()).then(|| Box::new(extra))
}
