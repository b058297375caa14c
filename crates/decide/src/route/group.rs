//! The candidates of one host, by path: found in a few steps, held in a few bytes.

use super::conditions::{Conditions, compile_regex};
use crate::hash::QuickMap;
use crate::{RequestView, path};
use model::route::PathMatch;
use regex::Regex;
use std::cmp::Reverse;
use std::sync::Arc;

/// So many paths are looked through; more are hashed.
const LISTED_PATHS_MAX: usize = 8;

/// Candidates of one host, by path.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    exact: PathTable,
    regex: Box<[(Regex, Candidate)]>,
    prefix: PathTable,
    /// Length of the longest path of `prefix`: no longer part of a path is looked up, so that a long path
    /// of many segments costs nothing.
    prefix_len_max: usize,
}

/// A match on its way into a group.
#[derive(Clone)]
pub(super) struct FiledMatch<'r> {
    pub(super) path: &'r PathMatch,
    pub(super) candidate: Candidate,
    /// Smaller goes first among candidates of one path.
    pub(super) order: Order<'r>,
}

/// Gateway API's precedence below the path: a method, more headers, more query parameters, the older route, its
/// namespace and name, the rule's and the match's place.
type Order<'r> = (Reverse<bool>, Reverse<usize>, Reverse<usize>, u64, &'r str, &'r str, u32, usize);

/// What is followed if its conditions hold.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Index into the table's rules.
    pub(super) rule: u32,
    /// Service port; 0: any.
    pub(super) port: u16,
    /// `None`: they hold always.
    pub(super) conditions: Option<Arc<Conditions>>,
}

/// Of one path, the first one whose conditions hold is followed.
type Candidates = Box<[Candidate]>;

/// Candidates by path. Most hosts have a few, and a map of one path has room for four.
#[derive(Clone, Debug)]
enum PathTable {
    List(Box<[(Arc<str>, Candidates)]>),
    Map(Box<QuickMap<Arc<str>, Candidates>>),
}

impl Candidate {
    fn holds(&self, port: u16, request: &RequestView<'_>) -> bool {
        (self.port == 0 || self.port == port)
            && self.conditions.as_ref().is_none_or(|conditions| conditions.hold(request))
    }
}

impl Group {
    pub(super) fn compile(mut filed: Vec<FiledMatch<'_>>) -> Self {
        // Sorting below keeps this order among equals.
        filed.sort_by(|a, b| a.order.cmp(&b.order));
        let (mut exact, mut regex, mut prefix) = (Vec::new(), Vec::new(), Vec::new());
        for FiledMatch { path, candidate, .. } in filed {
            match path {
                PathMatch::Exact(text) => exact.push((spelled(text, text), candidate)),
                PathMatch::Prefix(text) => {
                    prefix.push((spelled(text.trim_end_matches('/'), text), candidate));
                }
                PathMatch::Regex(pattern) => {
                    regex.extend(compile_regex(pattern).map(|regex| (regex, candidate)));
                }
            }
        }
        regex.sort_by_key(|(regex, _)| Reverse(regex.as_str().len()));
        let prefix_len_max = prefix.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
        Self {
            exact: PathTable::new(exact),
            regex: regex.into(),
            prefix: PathTable::new(prefix),
            prefix_len_max,
        }
    }

    /// The rule's index and the length of the prefix of `path` that it matched.
    pub(super) fn find(&self, port: u16, request: &RequestView<'_>, path: &str) -> Option<(usize, usize)> {
        let first = |candidates: &Candidates| candidates.iter().find(|c| c.holds(port, request)).map(index);
        if let Some(rule) = self.exact.get(path).and_then(first) {
            return Some((rule, path.len()));
        }
        let regex = self.regex.iter().find(|(regex, c)| regex.is_match(path) && c.holds(port, request));
        if let Some((_, candidate)) = regex {
            return Some((index(candidate), path.len()));
        }
        if self.prefix.is_empty() {
            return None;
        }
        let mut len = path.len();
        loop {
            if len <= self.prefix_len_max
                && let Some(rule) = self.prefix.get(&path[..len]).and_then(first)
            {
                return Some((rule, len));
            }
            if len == 0 {
                return None;
            }
            len = path[..len].rfind('/').unwrap_or(0);
        }
    }
}

fn index(candidate: &Candidate) -> usize {
    candidate.rule as usize
}

/// A path of a rule as the paths of requests are spelled; the rule's own text where that is the same.
fn spelled(text: &str, own: &Arc<str>) -> Arc<str> {
    let spelled = path::pattern(text);
    if *spelled == **own { Arc::clone(own) } else { spelled.into() }
}

impl Default for PathTable {
    fn default() -> Self {
        Self::List(Box::default())
    }
}

impl PathTable {
    fn new(mut filed: Vec<(Arc<str>, Candidate)>) -> Self {
        filed.sort_by(|(a, _), (b, _)| a.cmp(b));
        let of_paths = filed.chunk_by(|(a, _), (b, _)| a == b);
        let of_paths: Vec<(Arc<str>, Candidates)> = of_paths
            .filter_map(|of_path| {
                let (path, _) = of_path.first()?;
                Some((Arc::clone(path), of_path.iter().map(|(_, candidate)| candidate.clone()).collect()))
            })
            .collect();
        match of_paths.len() {
            0..=LISTED_PATHS_MAX => Self::List(of_paths.into()),
            _ => Self::Map(Box::new(of_paths.into_iter().collect())),
        }
    }

    fn get(&self, path: &str) -> Option<&Candidates> {
        match self {
            Self::List(list) => list.iter().find(|(own, _)| **own == *path).map(|(_, found)| found),
            Self::Map(map) => map.get(path),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
        }
    }
}
