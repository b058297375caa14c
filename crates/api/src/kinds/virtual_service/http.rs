//! The routes of a `VirtualService` for HTTP: what they match, and where they lead.

mod edits;
mod handling;

pub(super) use edits::UNSUPPORTED;
pub use edits::{
    DirectResponseBody, DirectResponseSpec, HeaderOperationsSpec, HeadersSpec, RedirectPortSpec,
    RedirectSpec, RegexRewriteSpec, RewriteSpec, is_authority,
};
pub use handling::{
    CorsPolicySpec, FaultAbortSpec, FaultDelaySpec, FaultSpec, MirrorSpec, PercentSpec, PreflightSpec,
    RetrySpec,
};

use super::check_gateways;
use crate::decode::Ignored;
use crate::fields::string_match::StringMatchSpec;
use crate::fields::visibility;
use crate::ignored::IgnoredField;
use crate::kinds::destination_rule::PortNumberSpec;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `http[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualHttpRoute {
    /// As in the access log.
    pub name: Option<String>,
    /// Any must match; empty: all requests.
    #[serde(rename = "match")]
    pub matches: Vec<VirtualHttpMatch>,
    /// Weighted destinations.
    pub route: Vec<HttpDestinationSpec>,
    /// Instead of destinations.
    pub redirect: Option<Box<RedirectSpec>>,
    /// Instead of destinations.
    pub direct_response: Option<Box<DirectResponseSpec>>,
    /// Another VirtualService that says the rest.
    pub delegate: Option<DelegateSpec>,
    /// What is sent instead.
    pub rewrite: Option<Box<RewriteSpec>>,
    /// Of the whole exchange; absent: none.
    pub timeout: Option<String>,
    /// Absent: only what is always safe.
    pub retries: Option<Box<RetrySpec>>,
    /// Some requests wait, some fail.
    pub fault: Option<Box<FaultSpec>>,
    /// Gets a copy; `mirrors` says the same for several.
    pub mirror: Option<Box<DestinationSpec>>,
    /// Old names of `mirrorPercentage`.
    pub mirror_percent: Option<u32>,
    /// Old names of `mirrorPercentage`.
    #[serde(rename = "mirror_percent")]
    pub mirror_percent_old: Option<u32>,
    /// Of requests that `mirror` gets; absent: all.
    pub mirror_percentage: Option<PercentSpec>,
    /// Get copies.
    pub mirrors: Vec<MirrorSpec>,
    /// Which pages may call.
    pub cors_policy: Option<Box<CorsPolicySpec>>,
    /// Edits of header fields.
    pub headers: Option<Box<HeadersSpec>>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `http[].match[]`; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualHttpMatch {
    /// Behind that of the route in the access log.
    pub name: Option<String>,
    /// Of the path.
    pub uri: Option<StringMatchSpec>,
    /// `http` or `https`.
    pub scheme: Option<StringMatchSpec>,
    /// The method.
    pub method: Option<StringMatchSpec>,
    /// The host, with the port if the caller names one.
    pub authority: Option<StringMatchSpec>,
    /// Of header fields; one that compares with nothing must be there.
    pub headers: BTreeMap<String, StringMatchSpec>,
    /// Port of the service or server.
    pub port: Option<u16>,
    /// Of the caller.
    pub source_labels: BTreeMap<String, String>,
    /// Of the caller.
    pub source_namespace: Option<String>,
    /// Instead of those of the object.
    pub gateways: Vec<String>,
    /// Of the query's parameters.
    pub query_params: BTreeMap<String, StringMatchSpec>,
    /// Of `exact` and `prefix` of `uri`.
    pub ignore_uri_case: Option<bool>,
    /// None of these may hold.
    pub without_headers: BTreeMap<String, StringMatchSpec>,
    /// Ignored, with a warning.
    pub stat_prefix: Option<Ignored>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `http[].route[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpDestinationSpec {
    /// Where to.
    pub destination: DestinationSpec,
    /// Share; absent: 0, but all where it is alone.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Edits of header fields, of what goes here.
    #[serde(default)]
    pub headers: Option<Box<HeadersSpec>>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// A destination.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationSpec {
    /// Of a service; a name of one label is a Service of the object's namespace.
    pub host: String,
    /// Of a DestinationRule of the host.
    #[serde(default)]
    pub subset: Option<String>,
    /// Absent: the one that there is, else the one that was called.
    #[serde(default)]
    pub port: Option<PortNumberSpec>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `http[].delegate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegateSpec {
    /// Of a VirtualService without hosts.
    pub name: Option<String>,
    /// Absent: that of the object.
    pub namespace: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// By how paths end.
pub(super) const IGNORED: &[IgnoredField] =
    &[IgnoredField::new("match[].statPrefix", &[], "remove it: metrics have the names of the services")];

const MATCHES_MAX: usize = 64;
const CONDITIONS_MAX: usize = 16;
const DESTINATIONS_MAX: usize = 16;
const WEIGHT_MAX: u32 = 1_000_000;

impl VirtualHttpRoute {
    pub(super) fn check(&self, is_of_delegate: bool, at: &str, report: &mut ValidationReport<'_>) {
        self.check_leads_somewhere(is_of_delegate, at, report);
        report.at_most(&format!("{at}.match"), self.matches.len(), MATCHES_MAX);
        for (index, one) in self.matches.iter().enumerate() {
            let at = format!("{at}.match[{index}]");
            one.check(&at, report);
            if is_of_delegate || self.delegate.is_some() {
                one.check_delegable(is_of_delegate, &at, report);
            }
        }
        report.at_most(&format!("{at}.route"), self.route.len(), DESTINATIONS_MAX);
        let weights = self.route.iter().map(|destination| destination.weight.unwrap_or(0));
        if self.route.len() > 1 && weights.sum::<u32>() == 0 {
            report.bad(&format!("{at}.route"), "has no weight that is more than 0", "write weights");
        }
        for (index, destination) in self.route.iter().enumerate() {
            let at = format!("{at}.route[{index}]");
            destination.destination.check(&format!("{at}.destination"), report);
            check_weight(destination.weight, &at, report);
            if let Some(headers) = &destination.headers {
                headers.check(&format!("{at}.headers"), report);
            }
        }
        report.go_duration(&format!("{at}.timeout"), self.timeout.as_deref());
        self.check_edits(at, report);
        self.check_handling(at, report);
    }

    /// A route leads to destinations, redirects, answers or delegates.
    fn check_leads_somewhere(&self, is_of_delegate: bool, at: &str, report: &mut ValidationReport<'_>) {
        let ways = [
            ("route", !self.route.is_empty()),
            ("redirect", self.redirect.is_some()),
            ("directResponse", self.direct_response.is_some()),
            ("delegate", self.delegate.is_some()),
        ];
        let mut there = ways.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name);
        match (there.next(), there.next()) {
            (None, _) => {
                let fix = "add `route`, `redirect`, `directResponse` or `delegate`";
                report.refuse(Code::MissingField, at, "leads nowhere", fix);
            }
            (Some(first), Some(second)) => {
                let cause = format!("has both `{first}` and `{second}`");
                report.bad(at, &cause, "keep one of them");
            }
            (Some(_), None) => {}
        }
        if is_of_delegate && self.delegate.is_some() {
            let fix = "write the routes here: one level of delegation is all that there is";
            report.bad(&format!("{at}.delegate"), "cannot stand in an object without hosts", fix);
        }
        if let Some(delegate) = &self.delegate {
            let at = format!("{at}.delegate");
            match delegate.name.as_deref() {
                None | Some("") => {
                    let fix = "name a VirtualService without hosts";
                    report.refuse(Code::MissingField, &format!("{at}.name"), "is missing", fix);
                }
                Some(name) => report.subdomain(&format!("{at}.name"), name),
            }
            if let Some(namespace) = delegate.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
                report.label(&format!("{at}.namespace"), namespace);
            }
        }
    }
}

impl VirtualHttpMatch {
    fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        let parts = [
            ("uri", &self.uri),
            ("scheme", &self.scheme),
            ("method", &self.method),
            ("authority", &self.authority),
        ];
        for (field, part) in parts {
            if let Some(part) = part {
                part.check_said(&format!("{at}.{field}"), report);
            }
        }
        for (field, headers) in [("headers", &self.headers), ("withoutHeaders", &self.without_headers)] {
            let at = format!("{at}.{field}");
            report.at_most(&at, headers.len(), CONDITIONS_MAX);
            for (name, condition) in headers {
                let is_pseudo = matches!(name.as_str(), ":authority" | ":method" | ":path" | ":scheme");
                if is_pseudo {
                    let fix = "use `authority`, `method`, `uri` or `scheme` of the match";
                    report.bad_entry(&at, name, "is no header field", fix);
                } else if !syntax::is_token(name) {
                    report.bad_entry(&at, name, "is no name of a header field", "correct the name");
                }
                condition.check(&format!("{at}.{name}"), report);
            }
        }
        report.at_most(&format!("{at}.queryParams"), self.query_params.len(), CONDITIONS_MAX);
        for (name, condition) in &self.query_params {
            condition.check(&format!("{at}.queryParams.{name}"), report);
        }
        if let Some(port) = self.port {
            report.port(&format!("{at}.port"), port);
        }
        report.labels(&format!("{at}.sourceLabels"), &self.source_labels);
        if let Some(namespace) = self.source_namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            report.label(&format!("{at}.sourceNamespace"), namespace);
        }
        check_gateways(&self.gateways, &format!("{at}.gateways"), report);
    }

    /// What can be merged with the match of another object: one must be a part of the other, which cannot be told of
    /// regular expressions; and who calls is said by the object with the hosts.
    fn check_delegable(&self, is_of_delegate: bool, at: &str, report: &mut ValidationReport<'_>) {
        let parts = [&self.uri, &self.scheme, &self.method, &self.authority];
        let of_maps = [&self.headers, &self.query_params, &self.without_headers];
        let mut all = parts.into_iter().flatten().chain(of_maps.into_iter().flat_map(BTreeMap::values));
        if all.any(|part| part.regex.is_some()) {
            let fix = "use `exact` or `prefix`";
            report.bad(at, "has a regular expression, which cannot be delegated", fix);
        }
        let callers = [
            ("sourceLabels", !self.source_labels.is_empty()),
            ("sourceNamespace", self.source_namespace.is_some()),
            ("gateways", !self.gateways.is_empty()),
        ];
        for (field, _) in callers.iter().filter(|(_, is_there)| *is_there && is_of_delegate) {
            let fix = "write it in the object that delegates";
            report.bad(&format!("{at}.{field}"), "cannot stand in an object without hosts", fix);
        }
    }
}

impl DestinationSpec {
    pub(super) fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        if !visibility::is_istio_host(&self.host) || self.host.starts_with('*') {
            let fix =
                "write the host of a service, for example `reviews` or `reviews.shop.svc.cluster.local`";
            report.bad(&format!("{at}.host"), &format!("cannot be `{}`", self.host), fix);
        }
        if let Some(port) = self.port {
            report.port(&format!("{at}.port.number"), port.number);
        }
        if let Some(subset) = self.subset.as_deref().filter(|subset| !subset.is_empty())
            && !syntax::is_label(subset)
        {
            let fix = "write the name of a subset of a DestinationRule";
            report.bad(&format!("{at}.subset"), &format!("cannot be `{subset}`"), fix);
        }
    }
}

pub(super) fn check_weight(weight: Option<u32>, at: &str, report: &mut ValidationReport<'_>) {
    if weight.is_some_and(|weight| weight > WEIGHT_MAX) {
        report.bad(&format!("{at}.weight"), &format!("is more than {WEIGHT_MAX}"), "use smaller weights");
    }
}
