//! The filter `RequestMirror` of an `HTTPRoute` or a `GRPCRoute`.

use super::backend_ref::{self, BackendRef};
use crate::validation::ValidationReport;
use serde::Deserialize;

/// Copies of requests go to a further backend.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequestMirrorFilter {
    /// Where to.
    pub backend_ref: BackendRef,
    /// Of how many requests in a hundred; absent, and no fraction: of all.
    #[serde(default)]
    pub percent: Option<u32>,
    /// Of how many of how many requests.
    #[serde(default)]
    pub fraction: Option<HttpFraction>,
}

/// A share.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpFraction {
    /// So many.
    pub numerator: u32,
    /// Of so many; absent: 100.
    #[serde(default)]
    pub denominator: Option<u32>,
}

impl HttpFraction {
    /// Of so many, where it does not say.
    pub const DENOMINATOR_DEFAULT: u32 = 100;
}

pub(crate) fn check(mirror: &HttpRequestMirrorFilter, at: &str, report: &mut ValidationReport<'_>) {
    backend_ref::one(&mirror.backend_ref.target(), &format!("{at}.backendRef"), report);
    if let Some(percent) = mirror.percent.filter(|percent| *percent > 100) {
        report.bad(&format!("{at}.percent"), &format!("cannot be {percent}"), "write a number from 0 to 100");
    }
    let Some(fraction) = &mirror.fraction else { return };
    if mirror.percent.is_some() {
        report.bad(&format!("{at}.fraction"), "stands beside `percent`", "keep one of the two");
    }
    let denominator = fraction.denominator.unwrap_or(HttpFraction::DENOMINATOR_DEFAULT);
    if denominator == 0 || fraction.numerator > denominator {
        let cause = format!("cannot be {} of {denominator}", fraction.numerator);
        report.bad(
            &format!("{at}.fraction"),
            &cause,
            "write a numerator that is not larger than the denominator",
        );
    }
}
