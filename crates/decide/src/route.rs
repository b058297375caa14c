//! Which rule a request follows.

use crate::RequestView;
use model::route::{PathRewrite, Redirect, RouteRule};
use std::sync::Arc;

/// Rules of one parent, compiled.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rules: Vec<Arc<RouteRule>>,
}

/// The rule that a request follows.
#[derive(Clone, Copy, Debug)]
pub struct Match<'t> {
    /// The rule.
    pub rule: &'t Arc<RouteRule>,
    /// How many bytes of the path the matched prefix covers; all of them for an exact or regex match.
    pub prefix_len: usize,
}

impl Table {
    /// Compiles rules.
    pub fn compile(rules: impl IntoIterator<Item = Arc<RouteRule>>) -> Self {
        Self { rules: rules.into_iter().collect() }
    }

    /// The rule that `request` on service port `port` follows.
    pub fn find(&self, _port: u16, _request: &RequestView<'_>) -> Option<Match<'_>> {
        None
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All rules, in no particular order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<RouteRule>> {
        self.rules.iter()
    }
}

/// The path after a rewrite.
pub fn rewrite_path(_rewrite: &PathRewrite, path: &str, _prefix_len: usize) -> String {
    path.to_owned()
}

/// The request that a redirect answers.
#[derive(Clone, Copy, Debug)]
pub struct Redirected<'a> {
    /// Scheme by which the request came, `http` or `https`.
    pub scheme: &'a str,
    /// Authority as sent.
    pub host: &'a str,
    /// Port of the listener (gateway) or service.
    pub port: u16,
    /// Canonical path.
    pub path: &'a str,
    /// Query without `?`.
    pub query: Option<&'a str>,
    /// From the [`Match`].
    pub prefix_len: usize,
}

/// The `location` of a redirect.
pub fn redirect_location(_redirect: &Redirect, _request: &Redirected<'_>) -> String {
    String::new()
}
