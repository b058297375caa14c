//! What a route of a `VirtualService` does with a request, as parts of a rule.

use super::delegate::MergedRoute;
use super::destination::{self, NamedBy};
use super::place::Place;
use crate::units::WorldReader;
use crate::units::missing::RouteFindings;
use api::duration::parse_go;
use api::kinds::virtual_service::{
    CorsPolicySpec, FaultSpec, HeaderOperationsSpec, HeadersSpec, PercentSpec, PreflightSpec,
    RedirectPortSpec, RedirectSpec, RetrySpec, RewriteSpec, VirtualHttpRoute, is_authority,
};
use model::filter::{
    AbortStatus, Cors, DerivedPort, DirectResponse, FaultAbort, FaultDelay, FaultInjection, FilterConfig,
    Fraction, HeaderEdit, Mirror, OriginMatch, PathRewrite, Redirect, RequestHeaders, ResponseHeaders,
    Rewrite, UnmatchedPreflights,
};
use model::route::{Pattern, RetryCondition, RetryHosts, RetryPolicy, RouteBackend};
use std::sync::Arc;
use std::time::Duration;

impl MergedRoute<'_> {
    fn named_by(&self) -> NamedBy<'_> {
        NamedBy { object: self.object, delegated_at: self.delegated_at.as_ref() }
    }
}

/// What is not the match.
pub(super) struct RuleParts {
    pub(super) filters: Vec<FilterConfig>,
    pub(super) backends: Vec<RouteBackend>,
    pub(super) request_timeout: Option<Duration>,
    pub(super) backend_timeout: Option<Duration>,
    pub(super) retry: Option<Box<RetryPolicy>>,
}

impl RuleParts {
    pub(super) fn new(
        route: &MergedRoute<'_>,
        place: &Place,
        read: &WorldReader<'_>,
        findings: &mut RouteFindings,
    ) -> Self {
        let spec = &*route.spec;
        let retries = spec.retries.as_deref();
        let per_try = retries.and_then(|retries| retries.per_try_timeout.as_deref());
        Self {
            filters: filters(route, place, read, findings),
            backends: backends(route, place, read, findings),
            request_timeout: spec.timeout.as_deref().and_then(parse_go),
            backend_timeout: per_try.and_then(parse_go),
            retry: retries.map(|retries| Box::new(retry(retries))),
        }
    }
}

/// What a server with `httpsRedirect` does with every request.
pub(super) fn to_https() -> FilterConfig {
    FilterConfig::Redirect(Redirect { scheme: Some("https".into()), status: 301, ..Redirect::default() })
}

/// Whether what the route says of headers counts behind what its destinations say, as Envoy does it: then it is said
/// at each of them.
fn has_edits_of_backends(spec: &VirtualHttpRoute) -> bool {
    spec.route.iter().any(|one| one.headers.is_some())
}

fn backends(
    route: &MergedRoute<'_>,
    place: &Place,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<RouteBackend> {
    let is_alone = route.spec.route.len() == 1;
    let rule_edits = match has_edits_of_backends(&route.spec) {
        true => route.spec.headers.as_deref().map(headers).unwrap_or_default(),
        false => Vec::new(),
    };
    let rule_edits = rule_edits.iter().filter(|filter| !matches!(filter, FilterConfig::Rewrite(_)));
    let mut backends = Vec::new();
    for one in &route.spec.route {
        let found = destination::find(&one.destination, route.named_by(), place, read, findings);
        let (host, port) = found.map_or((None, 0), |(host, port)| (Some(host), port));
        let weight = if is_alone { 1 } else { one.weight.unwrap_or(0) };
        let mut filters = one.headers.as_deref().map(headers).unwrap_or_default();
        filters.extend(rule_edits.clone().cloned());
        backends.push(RouteBackend { host, port, weight, filters: filters.into() });
    }
    backends
}

/// In the order in which Envoy's filters, and then its router, do these things.
fn filters(
    route: &MergedRoute<'_>,
    place: &Place,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<FilterConfig> {
    let spec = &*route.spec;
    let is_of_response = |filter: &FilterConfig| matches!(filter, FilterConfig::ResponseHeaders(_));
    let rule_edits = spec.headers.as_deref().map(headers).unwrap_or_default().into_iter();
    let mut filters = Vec::new();
    filters.extend(spec.cors_policy.as_deref().map(|policy| FilterConfig::Cors(Box::new(cors(policy)))));
    filters.extend(spec.fault.as_deref().map(|spec| FilterConfig::Fault(Box::new(fault(spec)))));
    if let Some(spec) = spec.redirect.as_deref() {
        filters.extend(rule_edits.filter(is_of_response));
        filters.push(FilterConfig::Redirect(redirect(spec)));
        return filters;
    }
    if let Some(answer) = spec.direct_response.as_deref() {
        let body = answer.body.as_ref().and_then(|body| body.string.as_deref()).unwrap_or_default();
        filters.extend(rule_edits.filter(is_of_response));
        filters
            .push(FilterConfig::DirectResponse(DirectResponse { status: answer.status, body: body.into() }));
        return filters;
    }
    let own_host = |filter: &FilterConfig| matches!(filter, FilterConfig::Rewrite(_));
    filters.extend(rule_edits.filter(|filter| own_host(filter) || !has_edits_of_backends(spec)));
    filters.extend(spec.rewrite.as_deref().map(|spec| FilterConfig::Rewrite(rewrite(spec))));
    filters.extend(mirrors(route, place, read, findings));
    filters
}

fn mirrors(
    route: &MergedRoute<'_>,
    place: &Place,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<FilterConfig> {
    let spec = &*route.spec;
    let one = spec.mirror.as_deref().map(|mirror| (mirror, mirror_share(spec)));
    let several = spec.mirrors.iter().map(|mirror| {
        (&mirror.destination, mirror.percentage.map_or(Fraction::ALL, |share| Fraction::percent(share.value)))
    });
    let mut filters = Vec::new();
    for (destination, share) in one.into_iter().chain(several).filter(|(_, share)| share.numerator > 0) {
        if let Some((host, port)) = destination::find(destination, route.named_by(), place, read, findings) {
            filters.push(FilterConfig::Mirror(Mirror { host, port, share, host_suffix: "".into() }));
        }
    }
    filters
}

fn mirror_share(spec: &VirtualHttpRoute) -> Fraction {
    let old = spec.mirror_percent.or(spec.mirror_percent_old).map(f64::from);
    let share = spec.mirror_percentage.map(|share| share.value).or(old);
    share.map_or(Fraction::ALL, Fraction::percent)
}

/// Edits of headers; what is said of the host is a rewrite of it.
fn headers(spec: &HeadersSpec) -> Vec<FilterConfig> {
    let mut filters = Vec::new();
    if let Some(request) = &spec.request {
        filters.extend(edit(request).map(|edit| FilterConfig::RequestHeaders(RequestHeaders(edit))));
        let host = request.set.iter().chain(&request.add).find(|(name, _)| is_authority(name));
        filters.extend(host.map(|(_, host)| {
            FilterConfig::Rewrite(Rewrite { hostname: Some(host.as_str().into()), path: None })
        }));
    }
    let response = spec.response.as_ref().and_then(edit);
    filters.extend(response.map(|edit| FilterConfig::ResponseHeaders(ResponseHeaders(edit))));
    filters
}

/// `None`: nothing is edited.
fn edit(spec: &HeaderOperationsSpec) -> Option<HeaderEdit> {
    let pairs = |all: &std::collections::BTreeMap<String, String>| {
        let own = all.iter().filter(|(name, _)| !is_authority(name));
        own.map(|(name, value)| (Arc::from(name.as_str()), Arc::from(value.as_str()))).collect::<Vec<_>>()
    };
    let edit = HeaderEdit {
        set: pairs(&spec.set),
        add: pairs(&spec.add),
        remove: spec.remove.iter().map(|name| name.as_str().into()).collect(),
    };
    (edit != HeaderEdit::default()).then_some(edit)
}

fn text(text: Option<&str>) -> Option<Arc<str>> {
    text.filter(|text| !text.is_empty()).map(Arc::from)
}

fn redirect(spec: &RedirectSpec) -> Redirect {
    let prefix = text(spec.prefix_rewrite.as_deref()).map(PathRewrite::StringPrefix);
    Redirect {
        scheme: text(spec.scheme.as_deref()),
        hostname: text(spec.authority.as_deref()),
        port: spec.port,
        derived_port: match spec.derive_port {
            Some(RedirectPortSpec::FromRequestPort) => DerivedPort::Listener,
            Some(RedirectPortSpec::FromProtocolDefault) => DerivedPort::SchemeOrListener,
            None => DerivedPort::Authority,
        },
        path: text(spec.uri.as_deref()).map(PathRewrite::Full).or(prefix),
        status: spec.redirect_code.unwrap_or(301),
    }
}

fn rewrite(spec: &RewriteSpec) -> Rewrite {
    let regex = spec.uri_regex_rewrite.as_ref().map(|regex| PathRewrite::Regex {
        pattern: Pattern(regex.pattern.as_deref().unwrap_or_default().into()),
        substitution: regex.rewrite.as_deref().unwrap_or_default().into(),
    });
    let path = text(spec.uri.as_deref()).map(PathRewrite::StringPrefix).or(regex);
    Rewrite { hostname: text(spec.authority.as_deref()), path }
}

/// Istio's conditions where a route with `retries` names none.
const RETRY_ON_DEFAULT: &str = "connect-failure,refused-stream,unavailable,cancelled";

fn retry(spec: &RetrySpec) -> RetryPolicy {
    let retry_on =
        spec.retry_on.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(RETRY_ON_DEFAULT);
    let words = retry_on.split(',').map(str::trim);
    let codes: Vec<u16> = words.clone().filter_map(|word| word.parse().ok()).collect();
    let mut conditions: Vec<RetryCondition> = words.filter_map(RetryCondition::by_name).collect();
    if !codes.is_empty() && !conditions.contains(&RetryCondition::RetriableStatusCodes) {
        conditions.push(RetryCondition::RetriableStatusCodes);
    }
    RetryPolicy {
        attempts: spec.attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(0),
        codes,
        backoff: spec.backoff.as_deref().and_then(parse_go).unwrap_or(RetryPolicy::BACKOFF_DEFAULT),
        conditions: Some(conditions),
        hosts: match (spec.retry_remote_localities, spec.retry_ignore_previous_hosts) {
            (Some(true), _) => RetryHosts::NextPriority,
            (_, Some(false)) => RetryHosts::Any,
            _ => RetryHosts::NotTried,
        },
    }
}

fn fault(spec: &FaultSpec) -> FaultInjection {
    let share = |percentage: Option<PercentSpec>, old: Option<u32>| {
        let percent = percentage.map(|share| share.value).or(old.map(f64::from));
        percent.map_or(Fraction::percent(0.0), Fraction::percent)
    };
    let delay = spec.delay.as_ref().and_then(|delay| {
        let fixed = delay.fixed_delay.as_deref().and_then(parse_go)?;
        Some(FaultDelay { fixed, share: share(delay.percentage, delay.percent) })
    });
    let abort = spec.abort.as_ref().and_then(|abort| {
        let grpc = abort.grpc_status().map(AbortStatus::Grpc);
        let with = abort.http_status.map(AbortStatus::Http).or(grpc)?;
        Some(FaultAbort { with, share: share(abort.percentage, None) })
    });
    FaultInjection { delay, abort }
}

fn cors(spec: &CorsPolicySpec) -> Cors {
    let names = |all: &[String]| all.iter().map(|name| Arc::from(name.as_str())).collect::<Vec<_>>();
    let exact = |text: &str| if text == "*" { OriginMatch::Any } else { OriginMatch::Exact(text.into()) };
    let old = spec.allow_origin.iter().map(|origin| exact(origin));
    let origins = spec.allow_origins.iter().map(|origin| {
        match (origin.exact.as_deref(), origin.prefix.as_deref(), origin.regex.as_deref()) {
            (Some(text), ..) => exact(text),
            (_, Some(text), _) => OriginMatch::Prefix(text.into()),
            (.., Some(text)) => OriginMatch::Regex(Pattern(text.into())),
            (None, None, None) => OriginMatch::Any,
        }
    });
    Cors {
        allow_origins: old.chain(origins).collect(),
        allow_methods: names(&spec.allow_methods),
        allow_headers: names(&spec.allow_headers),
        expose_headers: names(&spec.expose_headers),
        allow_credentials: spec.allow_credentials.unwrap_or(false),
        max_age_s: spec
            .max_age
            .as_deref()
            .and_then(parse_go)
            .and_then(|age| u32::try_from(age.as_secs()).ok()),
        unmatched_preflights: match spec.unmatched_preflights {
            Some(PreflightSpec::Ignore) => UnmatchedPreflights::Answered,
            Some(PreflightSpec::Forward | PreflightSpec::Unspecified) | None => {
                UnmatchedPreflights::Forwarded
            }
        },
    }
}
