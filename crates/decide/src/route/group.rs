//! The candidates of one host, by path: found in a few steps, held in a few bytes. Of how paths are looked up:
//! `paths`.

use super::calls::{CallName, CallTable};
use super::candidate::{Candidate, Candidates, FiledMatch, RouteQuery, first};
use super::paths::{PathTable, TextPaths, spelled};
use crate::expression::whole;
use model::route::{PathMatch, Precedence};
use regex::Regex;
use std::cmp::Reverse;

/// Candidates of one host, by path.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    exact: PathTable,
    regex: Box<[(Regex, Candidate)]>,
    prefix: PathTable,
    /// Length of the longest path of `prefix`: no longer part of a path is looked up, so that a long path
    /// of many segments costs nothing.
    prefix_len_max: usize,
    /// Paths that only Istio's routes have.
    text: Option<Box<TextPaths>>,
    /// Of GRPCRoutes.
    calls: Option<Box<CallTable>>,
    /// The rules of which the first one counts; asked when no other matches.
    written: Option<Box<Group>>,
}

/// The rule's index, and how many bytes of the path the match covers.
type Found = (u32, usize);

impl Group {
    pub(super) fn compile(filed: Vec<FiledMatch<'_>>) -> Self {
        let (mut written, mut specific): (Vec<_>, Vec<_>) =
            filed.into_iter().partition(|filed| filed.precedence == Precedence::Written);
        // Sorting by path, later, keeps this order among equals.
        specific.sort_by(|a, b| a.order.cmp(&b.order));
        let mut group = Self::of(specific);
        group.regex.sort_by_key(|(regex, _)| Reverse(regex.as_str().len()));
        if !written.is_empty() {
            written.sort_by_key(|filed| filed.candidate.written_at());
            group.written = Some(Box::new(Self::of(written)));
        }
        group
    }

    fn of(filed: Vec<FiledMatch<'_>>) -> Self {
        let (mut exact, mut regex, mut prefix) = (Vec::new(), Vec::new(), Vec::new());
        let (mut text, mut calls) = (Vec::new(), Vec::new());
        for FiledMatch { path, candidate, .. } in filed {
            match path {
                PathMatch::Exact(path) => exact.push((spelled(path, path), candidate)),
                PathMatch::Prefix(path) => {
                    prefix.push((spelled(path.trim_end_matches('/'), path), candidate));
                }
                PathMatch::Regex(pattern) => {
                    regex.extend(whole(pattern).map(|regex| (regex, candidate)));
                }
                PathMatch::StringPrefix(_)
                | PathMatch::ExactIgnoreCase(_)
                | PathMatch::StringPrefixIgnoreCase(_) => text.push((path, candidate)),
                PathMatch::Grpc(method) => calls.push((&**method, candidate)),
            }
        }
        let prefix_len_max = prefix.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
        Self {
            exact: PathTable::new(exact),
            regex: regex.into(),
            prefix: PathTable::new(prefix),
            prefix_len_max,
            text: (!text.is_empty()).then(|| Box::new(TextPaths::compile(text))),
            calls: (!calls.is_empty()).then(|| Box::new(CallTable::compile(calls))),
            written: None,
        }
    }

    /// Whether a request that matches no rule here is answered so, and no other host's rules are asked.
    pub(super) fn is_final(&self) -> bool {
        self.written.is_some()
    }

    /// The rule for a request with this reading of its path.
    pub(super) fn find(&self, path: &str, asked: &RouteQuery<'_>) -> Option<Found> {
        if let Some(found) = self.find_call(path, asked) {
            return Some((found.rule, path.len()));
        }
        if asked.is_for_calls {
            return None;
        }
        let found = self
            .find_specific(path, asked)
            .or_else(|| self.written.as_ref().and_then(|written| written.find_written(path, asked)));
        found.map(|(candidate, len)| (candidate.rule, len))
    }

    fn find_call(&self, path: &str, asked: &RouteQuery<'_>) -> Option<&Candidate> {
        let calls = self.calls.as_deref()?;
        calls.find(&CallName::read(path, asked)?, asked)
    }

    /// Exact, regex, longest prefix.
    fn find_specific<'g>(&'g self, path: &'g str, asked: &RouteQuery<'_>) -> Option<(&'g Candidate, usize)> {
        let whole = |candidate| (candidate, path.len());
        if let Some(found) = self.exact.get(path).and_then(|candidates| first(candidates, asked)) {
            return Some(whole(found));
        }
        if let Some(found) = self.text.as_ref().and_then(|text| first(text.exact(path)?, asked)) {
            return Some(whole(found));
        }
        if let Some((_, found)) =
            self.regex.iter().find(|(regex, one)| regex.is_match(path) && one.holds(asked))
        {
            return Some(whole(found));
        }
        let holding = |(candidates, len)| Some((first(candidates, asked)?, len));
        let found = self.prefixes(path).find_map(holding);
        let Some(text) = &self.text else { return found };
        let longer = |one: &(&Candidate, usize)| found.is_none_or(|(_, len)| one.1 > len);
        let longest = text.prefixes(path).filter_map(holding).max_by_key(|(_, len)| *len);
        longest.filter(longer).or(found)
    }

    /// The first one that was written, of those that match.
    fn find_written<'g>(&'g self, path: &'g str, asked: &RouteQuery<'_>) -> Option<(&'g Candidate, usize)> {
        let whole = |candidates| (candidates, path.len());
        let text = self.text.as_deref();
        let exact = self.exact.get(path).into_iter().chain(text.and_then(|text| text.exact(path))).map(whole);
        let prefixes = self.prefixes(path).chain(text.into_iter().flat_map(|text| text.prefixes(path)));
        let holding = |(candidates, len)| Some((first(candidates, asked)?, len));
        let best = exact.chain(prefixes).filter_map(holding).min_by_key(|(one, _)| one.written_at());
        // They are in order: none behind one that is found already need be asked.
        let is_earlier =
            |one: &Candidate| best.is_none_or(|(other, _)| one.written_at() < other.written_at());
        let mut earlier = self.regex.iter().take_while(|(_, one)| is_earlier(one));
        let regex = earlier.find(|(regex, one)| regex.is_match(path) && one.holds(asked));
        regex.map(|(_, one)| (one, path.len())).or(best)
    }

    /// The candidates of each prefix by whole segments, the longest first.
    fn prefixes<'g>(&'g self, path: &'g str) -> impl Iterator<Item = (&'g Candidates, usize)> {
        let shorter = |len: &usize| (*len > 0).then(|| path[..*len].rfind('/').unwrap_or(0));
        let first = (!self.prefix.is_empty()).then_some(path.len());
        let lengths = std::iter::successors(first, shorter).filter(|len| *len <= self.prefix_len_max);
        lengths.filter_map(|len| Some((self.prefix.get(&path[..len])?, len)))
    }
}
