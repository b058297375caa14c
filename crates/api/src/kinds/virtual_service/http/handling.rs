//! What holds for the requests of a route of a `VirtualService`: retries, faults, copies, and which pages may call.

use super::{DestinationSpec, VirtualHttpRoute};
use crate::decode::Unsupported;
use crate::fields::string_match::StringMatchSpec;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use model::route::RetryCondition;
use serde::Deserialize;

/// `retries`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetrySpec {
    /// Further attempts; 0: none.
    pub attempts: Option<i32>,
    /// Of one attempt; absent: the route's timeout.
    pub per_try_timeout: Option<String>,
    /// Envoy's conditions and statuses, with commas between.
    pub retry_on: Option<String>,
    /// Also to places further away.
    pub retry_remote_localities: Option<bool>,
    /// Absent: not to an endpoint that was tried.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// Smallest wait.
    pub backoff: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `fault`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultSpec {
    /// First some wait.
    pub delay: Option<FaultDelaySpec>,
    /// Then some fail.
    pub abort: Option<FaultAbortSpec>,
}

/// `fault.delay`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultDelaySpec {
    /// Old form of `percentage`.
    pub percent: Option<u32>,
    /// How long.
    pub fixed_delay: Option<String>,
    /// Not supported, as in Istio.
    pub exponential_delay: Option<Unsupported>,
    /// Of requests; absent: none.
    pub percentage: Option<PercentSpec>,
}

/// `fault.abort`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultAbortSpec {
    /// 200 to 599.
    pub http_status: Option<u16>,
    /// A number, or a name such as `UNAVAILABLE`.
    pub grpc_status: Option<String>,
    /// Not supported, as in Istio.
    #[serde(rename = "http2Error")]
    pub http2_error: Option<Unsupported>,
    /// Of requests; absent: none.
    pub percentage: Option<PercentSpec>,
}

/// A share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PercentSpec {
    /// 0 to 100.
    pub value: f64,
}

/// `mirrors[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorSpec {
    /// Where to.
    pub destination: DestinationSpec,
    /// Of requests; absent: all.
    #[serde(default)]
    pub percentage: Option<PercentSpec>,
}

/// `corsPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicySpec {
    /// Old form of `allowOrigins`.
    pub allow_origin: Vec<String>,
    /// Whose pages.
    pub allow_origins: Vec<StringMatchSpec>,
    /// With which methods.
    pub allow_methods: Vec<String>,
    /// With which header fields.
    pub allow_headers: Vec<String>,
    /// Which of the response they may read.
    pub expose_headers: Vec<String>,
    /// How long a browser may remember it.
    pub max_age: Option<String>,
    /// Whether they may send cookies.
    pub allow_credentials: Option<bool>,
    /// Absent: `FORWARD`.
    pub unmatched_preflights: Option<PreflightSpec>,
}

/// `corsPolicy.unmatchedPreflights`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PreflightSpec {
    /// The default.
    Unspecified,
    /// They go on.
    Forward,
    /// They are answered.
    Ignore,
}

const NAMES_MAX: usize = 32;
const MIRRORS_MAX: usize = 8;
const RETRY_ATTEMPTS_MAX: i32 = 25;

impl VirtualHttpRoute {
    pub(super) fn check_handling(&self, at: &str, report: &mut ValidationReport<'_>) {
        if let Some(retries) = &self.retries {
            retries.check(&format!("{at}.retries"), report);
        }
        if let Some(fault) = &self.fault {
            fault.check(&format!("{at}.fault"), report);
        }
        self.check_mirrors(at, report);
        if let Some(cors) = &self.cors_policy {
            cors.check(&format!("{at}.corsPolicy"), report);
        }
    }

    fn check_mirrors(&self, at: &str, report: &mut ValidationReport<'_>) {
        if let Some(mirror) = &self.mirror {
            mirror.check(&format!("{at}.mirror"), report);
            if !self.mirrors.is_empty() {
                let cause = "cannot stand beside `mirrors`";
                report.bad(&format!("{at}.mirror"), cause, "add it to `mirrors`");
            }
        }
        let shares = [
            ("mirrorPercent", self.mirror_percent.map(f64::from)),
            ("mirror_percent", self.mirror_percent_old.map(f64::from)),
            ("mirrorPercentage", self.mirror_percentage.map(|share| share.value)),
        ];
        for (field, share) in shares.iter().filter_map(|(field, share)| Some((field, (*share)?))) {
            percent(share, &format!("{at}.{field}"), report);
            if self.mirror.is_none() {
                report.no_effect(&format!("{at}.{field}"), "has no effect without `mirror`", "remove it");
            }
        }
        report.at_most(&format!("{at}.mirrors"), self.mirrors.len(), MIRRORS_MAX);
        for (index, mirror) in self.mirrors.iter().enumerate() {
            let at = format!("{at}.mirrors[{index}]");
            mirror.destination.check(&format!("{at}.destination"), report);
            if let Some(share) = mirror.percentage {
                percent(share.value, &format!("{at}.percentage.value"), report);
            }
        }
    }
}

fn percent(share: f64, at: &str, report: &mut ValidationReport<'_>) {
    if !(0.0..=100.0).contains(&share) {
        report.bad(at, &format!("cannot be {share}"), "write a number from 0 to 100");
    }
}

impl RetrySpec {
    fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        if let Some(attempts) = self.attempts
            && !(0..=RETRY_ATTEMPTS_MAX).contains(&attempts)
        {
            let fix = format!("write a number from 0 to {RETRY_ATTEMPTS_MAX}");
            report.bad(&format!("{at}.attempts"), &format!("cannot be {attempts}"), fix);
        }
        report.go_duration(&format!("{at}.perTryTimeout"), self.per_try_timeout.as_deref());
        report.go_duration(&format!("{at}.backoff"), self.backoff.as_deref());
        if self.attempts.is_none() {
            let fix = "add `attempts`: without it there is no further attempt, as in Istio";
            report.no_effect(at, "names no `attempts`, so that nothing is tried again", fix);
        }
        let words = self.retry_on.as_deref().unwrap_or_default().split(',').map(str::trim);
        let is_unknown = |word: &&str| {
            let is_code = word.parse::<u16>().is_ok_and(|code| (100..600).contains(&code));
            !word.is_empty() && !is_code && RetryCondition::by_name(word).is_none()
        };
        for word in words.filter(is_unknown) {
            let names: Vec<&str> = RetryCondition::ALL.iter().map(|(name, _)| *name).collect();
            let cause = format!("names `{word}`, which is not known, and has no effect");
            report.no_effect(
                &format!("{at}.retryOn"),
                &cause,
                format!("use {} or statuses", names.join(", ")),
            );
        }
        if self.attempts == Some(0) && (self.retry_on.is_some() || self.per_try_timeout.is_some()) {
            report.no_effect(at, "has no effect with 0 attempts", "keep `attempts: 0` alone");
        }
    }
}

impl FaultSpec {
    fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        if let Some(delay) = &self.delay {
            let at = format!("{at}.delay");
            report.go_duration(&format!("{at}.fixedDelay"), delay.fixed_delay.as_deref());
            if delay.fixed_delay.is_none() && delay.exponential_delay.is_none() {
                let fix = "add `fixedDelay`";
                report.refuse(Code::MissingField, &format!("{at}.fixedDelay"), "is missing", fix);
            }
            share(delay.percentage, delay.percent, &at, report);
        }
        if let Some(abort) = &self.abort {
            let at = format!("{at}.abort");
            if let Some(status) = abort.http_status
                && !(200..=599).contains(&status)
            {
                let cause = format!("cannot be {status}");
                report.bad(&format!("{at}.httpStatus"), &cause, "write a status from 200 to 599");
            }
            if let Some(status) = abort.grpc_status.as_deref().filter(|status| grpc_status(status).is_none())
            {
                let cause = format!("cannot be `{status}`");
                report.bad(
                    &format!("{at}.grpcStatus"),
                    &cause,
                    "write a status of gRPC, such as UNAVAILABLE",
                );
            }
            let set = [abort.http_status.is_some(), abort.grpc_status.is_some(), abort.http2_error.is_some()];
            match set.iter().filter(|set| **set).count() {
                0 => report.refuse(Code::MissingField, &at, "says no status", "add `httpStatus`"),
                1 => {}
                _ => report.bad(&at, "says several statuses", "keep one of them"),
            }
            share(abort.percentage, None, &at, report);
        }
        if self.delay.is_none() && self.abort.is_none() {
            report.no_effect(at, "says nothing", "add `delay` or `abort`");
        }
    }
}

fn share(percentage: Option<PercentSpec>, old: Option<u32>, at: &str, report: &mut ValidationReport<'_>) {
    if let Some(share) = percentage {
        percent(share.value, &format!("{at}.percentage.value"), report);
    }
    if let Some(share) = old {
        percent(f64::from(share), &format!("{at}.percent"), report);
    }
    if percentage.is_none() && old.is_none() {
        report.no_effect(at, "names no `percentage`, so that no request is concerned", "add `percentage`");
    }
}

/// The number of a status of gRPC, by number or name.
pub(crate) fn grpc_status(text: &str) -> Option<u8> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let by_name = NAMES.iter().position(|name| *name == text);
    let number = by_name.or_else(|| text.parse().ok()).filter(|number| *number < NAMES.len())?;
    u8::try_from(number).ok()
}

impl FaultAbortSpec {
    /// The number of `grpcStatus`.
    pub fn grpc_status(&self) -> Option<u8> {
        self.grpc_status.as_deref().and_then(grpc_status)
    }
}

impl CorsPolicySpec {
    fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        report.go_duration(&format!("{at}.maxAge"), self.max_age.as_deref());
        for (index, origin) in self.allow_origins.iter().enumerate() {
            origin.check_said(&format!("{at}.allowOrigins[{index}]"), report);
        }
        if !self.allow_origin.is_empty() && !self.allow_origins.is_empty() {
            let cause = "cannot stand beside `allowOrigins`";
            report.bad(&format!("{at}.allowOrigin"), cause, "add them to `allowOrigins`");
        }
        let names = [
            ("allowMethods", &self.allow_methods),
            ("allowHeaders", &self.allow_headers),
            ("exposeHeaders", &self.expose_headers),
        ];
        for (field, names) in names {
            report.at_most(&format!("{at}.{field}"), names.len(), NAMES_MAX);
            for (index, name) in names.iter().enumerate().filter(|(_, name)| !syntax::is_token(name)) {
                let path = format!("{at}.{field}[{index}]");
                report.bad(&path, &format!("cannot be `{name}`"), "write a name, or `*`");
            }
        }
    }
}
