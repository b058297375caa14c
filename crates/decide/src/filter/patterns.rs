//! The regular expressions of a rule's filters, compiled once. Few rules have any.

use crate::expression::{part, whole};
use model::filter::{FilterConfig, OriginMatch, PathRewrite};
use model::route::{Pattern, RouteRule};
use regex::Regex;

/// Regular expressions by their text. One that does not compile is not there.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<(How, Pattern, Regex)>);

/// What must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Whole,
    Part,
}

impl Patterns {
    /// Of rules that have none.
    pub const NONE: &Self = &Self(Vec::new());

    /// Those of a rule's filters and its backends'; `None`: there are none.
    pub(crate) fn of(rule: &RouteRule) -> Option<Self> {
        let of_backends = rule.backends.iter().flat_map(|backend| &backend.filters);
        let all = rule.filters.iter().chain(of_backends).flat_map(named);
        let compiled: Vec<_> = all
            .filter_map(|(how, pattern)| {
                let regex = match how {
                    How::Whole => whole(pattern),
                    How::Part => part(pattern),
                };
                Some((how, pattern.clone(), regex?))
            })
            .collect();
        (!compiled.is_empty()).then(|| Self(compiled))
    }

    /// The one that must match a whole text.
    pub(super) fn whole(&self, pattern: &Pattern) -> Option<&Regex> {
        self.find(How::Whole, pattern)
    }

    /// The one that may match any part of a text.
    pub(super) fn part(&self, pattern: &Pattern) -> Option<&Regex> {
        self.find(How::Part, pattern)
    }

    fn find(&self, how: How, pattern: &Pattern) -> Option<&Regex> {
        let found = self.0.iter().find(|(own, text, _)| *own == how && text == pattern);
        found.map(|(_, _, regex)| regex)
    }
}

fn named(config: &FilterConfig) -> Vec<(How, &Pattern)> {
    match config {
        FilterConfig::Rewrite(rewrite) => of_path(rewrite.path.as_ref()),
        FilterConfig::Redirect(redirect) => of_path(redirect.path.as_ref()),
        FilterConfig::Cors(cors) => {
            let regexes = cors.allow_origins.iter().filter_map(|origin| match origin {
                OriginMatch::Regex(pattern) => Some((How::Whole, pattern)),
                _ => None,
            });
            regexes.collect()
        }
        _ => Vec::new(),
    }
}

fn of_path(path: Option<&PathRewrite>) -> Vec<(How, &Pattern)> {
    match path {
        Some(PathRewrite::Regex { pattern, .. }) => vec![(How::Part, pattern)],
        _ => Vec::new(),
    }
}
