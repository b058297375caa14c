//! Where candidates are looked up by a path: whole, by its first segments, by its first characters, in any case of its
//! letters. The cost of none grows with the number of rules.

use super::candidate::{Candidate, Candidates};
use crate::hash::QuickMap;
use crate::path;
use model::route::PathMatch;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

/// So many paths are looked through; more are hashed.
const LISTED_PATHS_MAX: usize = 8;

/// Candidates by path. Most hosts have a few, and a map of one path has room for four.
#[derive(Clone, Debug)]
pub(super) enum PathTable {
    List(Box<[(Arc<str>, Candidates)]>),
    Map(Box<QuickMap<Arc<str>, Candidates>>),
}

/// Paths as only Istio's routes have them.
#[derive(Clone, Debug, Default)]
pub(super) struct TextPaths {
    prefix: PrefixTable,
    /// What is in them is in lower case.
    exact_ignore_case: PathTable,
    prefix_ignore_case: PrefixTable,
}

/// Candidates by the first characters of a path.
#[derive(Clone, Debug, Default)]
struct PrefixTable {
    /// Which lengths there are, the longest first: no other part of a path is looked up.
    lengths: Box<[usize]>,
    table: PathTable,
}

impl TextPaths {
    pub(super) fn compile(filed: Vec<(&PathMatch, Candidate)>) -> Self {
        let (mut prefix, mut exact_lower, mut prefix_lower) = (Vec::new(), Vec::new(), Vec::new());
        for (path, candidate) in filed {
            match path {
                PathMatch::StringPrefix(path) => prefix.push((spelled(path, path), candidate)),
                PathMatch::ExactIgnoreCase(path) => exact_lower.push((lower(path), candidate)),
                PathMatch::StringPrefixIgnoreCase(path) => prefix_lower.push((lower(path), candidate)),
                PathMatch::Exact(_) | PathMatch::Prefix(_) | PathMatch::Regex(_) | PathMatch::Grpc(_) => {}
            }
        }
        Self {
            prefix: PrefixTable::new(prefix),
            exact_ignore_case: PathTable::new(exact_lower),
            prefix_ignore_case: PrefixTable::new(prefix_lower),
        }
    }

    /// The candidates of the whole path.
    pub(super) fn exact(&self, path: &str) -> Option<&Candidates> {
        if self.exact_ignore_case.is_empty() {
            return None;
        }
        self.exact_ignore_case.get(&in_lower_case(path))
    }

    /// The candidates of each beginning of the path, with its length.
    pub(super) fn prefixes(&self, path: &str) -> impl Iterator<Item = (&Candidates, usize)> {
        let found = self.prefix.find(path);
        let in_any_case = match self.prefix_ignore_case.lengths.is_empty() {
            true => Vec::new(),
            false => self.prefix_ignore_case.find(&in_lower_case(path)),
        };
        found.into_iter().chain(in_any_case)
    }
}

impl PrefixTable {
    fn new(filed: Vec<(Arc<str>, Candidate)>) -> Self {
        let mut lengths: Vec<usize> = filed.iter().map(|(path, _)| path.len()).collect();
        lengths.sort_unstable_by_key(|len| Reverse(*len));
        lengths.dedup();
        Self { lengths: lengths.into(), table: PathTable::new(filed) }
    }

    fn find(&self, path: &str) -> Vec<(&Candidates, usize)> {
        let candidates = |len: &usize| Some((self.table.get(path.get(..*len)?)?, *len));
        self.lengths.iter().filter_map(candidates).collect()
    }
}

fn lower(path: &str) -> Arc<str> {
    path::pattern(path).to_ascii_lowercase().into()
}

fn in_lower_case(path: &str) -> Cow<'_, str> {
    match path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(path.to_ascii_lowercase()),
        false => Cow::Borrowed(path),
    }
}

/// A path of a rule as the paths of requests are spelled; the rule's own text where that is the same.
pub(super) fn spelled(text: &str, own: &Arc<str>) -> Arc<str> {
    let spelled = path::pattern(text);
    if *spelled == **own { Arc::clone(own) } else { spelled.into() }
}

impl Default for PathTable {
    fn default() -> Self {
        Self::List(Box::default())
    }
}

impl PathTable {
    pub(super) fn new(mut filed: Vec<(Arc<str>, Candidate)>) -> Self {
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

    pub(super) fn get(&self, path: &str) -> Option<&Candidates> {
        match self {
            Self::List(list) => list.iter().find(|(own, _)| **own == *path).map(|(_, found)| found),
            Self::Map(map) => map.get(path),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
        }
    }
}
