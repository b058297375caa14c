//! One request's way through the endpoints of a service: what was tried, what comes next, and whether anything
//! does. The decisions are `decide::balance`'s and `decide::retry`'s; all loops of attempts at a service go by this.

use super::Upstream;
use super::attempt_error::{AttemptError, EndpointVerdict};
use crate::snapshot::{Active, EndpointHealth, HostEntry, Retries};
use decide::balance::{self, EndpointQuery};
use decide::retry::{self, Ahead, Attempt, Next, Outcome};
use model::Reason;
use model::route::{RetryHosts, RetryPolicy};
use model::service::Endpoint;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What was tried so far.
pub(crate) struct RetryState<'a> {
    upstream: &'a Upstream,
    /// `None`: there is only the local application.
    entry: Option<&'a Arc<HostEntry>>,
    budget: &'a Retries,
    /// Endpoints that are never to be chosen.
    excluded: Vec<usize>,
    /// Those, and the ones that were tried since the last time that all had been.
    tried: Vec<usize>,
    /// Of the request, where the service's load balancer hashes it.
    hash: Option<u64>,
    /// How many requests of the service were balanced in turn before this one, once that was asked.
    turn: Cell<Option<u64>>,
    /// 1 for the first.
    number: u32,
    /// A stale connection is replaced once without counting as an attempt.
    has_replaced: bool,
    same: Option<usize>,
    last: Option<Reason>,
    begun_ms: Option<u64>,
}

/// What is repeated, as far as that says whether it may be.
#[derive(Clone, Copy)]
pub(crate) struct Repeat<'a> {
    /// The rule's policy.
    pub(crate) policy: Option<&'a RetryPolicy>,
    /// Method; CONNECT for opaque bytes, of which none were sent before there is a tunnel.
    pub(crate) method: &'a str,
    /// Whether all of it can be sent again.
    pub(crate) replayable: bool,
}

/// The opening of a tunnel.
pub(crate) const CONNECT: Repeat<'static> = Repeat { policy: None, method: "CONNECT", replayable: true };

impl<'a> RetryState<'a> {
    /// A request to a service begins; it earns the service its share of a retry.
    pub(crate) fn begin(upstream: &'a Upstream, entry: &'a Arc<HostEntry>) -> Self {
        let now_ms = upstream.uptime.now_ms();
        Self { entry: Some(entry), ..Self::at(upstream, &entry.retries, now_ms) }
    }

    /// The same among some of the endpoints only.
    pub(crate) fn among(
        upstream: &'a Upstream,
        entry: &'a Arc<HostEntry>,
        is_one: impl Fn(&Endpoint) -> bool,
    ) -> Self {
        let excluded: Vec<usize> =
            (0..entry.endpoints.len()).filter(|index| !is_one(&entry.endpoints[*index])).collect();
        Self { tried: excluded.clone(), excluded, ..Self::begin(upstream, entry) }
    }

    /// A request to the local application begins, at `now_ms`: there is no other to go to, so that only an old
    /// connection is replaced, within `budget`.
    pub(crate) fn at(upstream: &'a Upstream, budget: &'a Retries, now_ms: u64) -> Self {
        budget.requested(now_ms);
        Self {
            upstream,
            entry: None,
            budget,
            excluded: Vec::new(),
            tried: Vec::new(),
            hash: None,
            turn: Cell::new(None),
            number: 1,
            has_replaced: false,
            same: None,
            last: None,
            begun_ms: Some(now_ms),
        }
    }

    /// The same with the hash of the request, if it has one.
    #[must_use]
    pub(crate) fn with_hash(self, hash: Option<u64>) -> Self {
        Self { hash, ..self }
    }

    /// The service.
    pub(super) fn entry(&self) -> Option<&'a Arc<HostEntry>> {
        self.entry
    }

    /// The endpoint for the next attempt; `None`: there is none at all.
    pub(crate) fn choose(&mut self) -> Option<usize> {
        let Some(entry) = self.entry else { return Some(0) };
        if let Some(same) = self.same.take() {
            return Some(same);
        }
        let now_ms = self.begun_ms.take().unwrap_or_else(|| self.upstream.uptime.now_ms());
        if let Some(chosen) = self.choose_other(entry, now_ms) {
            return Some(chosen);
        }
        // All were tried once: begin anew.
        self.tried.clone_from(&self.excluded);
        self.choose_other(entry, now_ms)
    }

    /// One that was not tried, as long as there is any.
    fn choose_other(&self, entry: &HostEntry, now_ms: u64) -> Option<usize> {
        let dice = &mut *self.upstream.dice.borrow_mut();
        let query = EndpointQuery {
            load: &|index| entry.states.load(index, now_ms),
            tried: &self.tried,
            hash: self.hash,
            pinned: None,
            turn: &|| self.turn_of(entry),
        };
        let chosen = balance::choose(&entry.priorities, &entry.endpoints, &query, dice);
        // Where nothing else is left it gives what is excluded, too.
        chosen.filter(|index| !self.excluded.contains(index))
    }

    /// The turn of this request: one, however often endpoints are chosen for it.
    fn turn_of(&self, entry: &HostEntry) -> u64 {
        let turn = self.turn.get().unwrap_or_else(|| entry.turns.fetch_add(1, Ordering::Relaxed));
        self.turn.set(Some(turn));
        turn
    }

    /// An attempt at `index` begins.
    pub(super) fn begin_at(&self, index: usize) -> Option<Active> {
        Some(self.state(index)?.begin())
    }

    /// What is remembered of the endpoint at `index`, which is used now.
    fn state(&self, index: usize) -> Option<&Arc<EndpointHealth>> {
        let entry = self.entry?;
        entry.states.get_or_begin(index, &entry.endpoints.get(index)?.uid)
    }

    /// Remembers what an attempt says about its endpoint, for all requests to come.
    pub(super) fn record<T>(&self, index: usize, outcome: &Result<T, AttemptError>) {
        let Some(state) = self.state(index) else { return };
        match outcome {
            Ok(_) => state.succeeded(self.upstream.uptime.now_ms()),
            Err(AttemptError { verdict: EndpointVerdict::Failed, .. }) => {
                state.failed(self.upstream.uptime.now_ms(), &mut *self.upstream.dice.borrow_mut());
            }
            Err(_) => {}
        }
    }

    /// Whether the attempt at `index` that ended so is followed by another, which then is at the same endpoint,
    /// once, where only an old connection had ended; elsewhere otherwise.
    pub(crate) fn next<T>(
        &mut self,
        index: usize,
        repeat: Repeat<'_>,
        verdict: Outcome,
        outcome: &Result<T, AttemptError>,
    ) -> Next {
        if retry::is_final(repeat.policy, verdict) {
            return Next::GiveUp;
        }
        // A connection that had died unnoticed says nothing of the endpoint: number 0 is always within limits.
        let is_replaced = matches!(outcome, Err(error) if error.verdict == EndpointVerdict::StaleConnection)
            && !self.has_replaced;
        if self.entry.is_none() && !is_replaced {
            return Next::GiveUp;
        }
        let now_ms = self.upstream.uptime.now_ms();
        let attempt = Attempt {
            policy: repeat.policy,
            method: repeat.method,
            number: if is_replaced { 0 } else { self.number },
            outcome: verdict,
            replayable: repeat.replayable,
            ahead: if is_replaced { Ahead::Fresh } else { self.ahead(index, now_ms) },
            budget: self.budget.left(now_ms),
        };
        let next = retry::decide(&attempt, &mut *self.upstream.dice.borrow_mut());
        let Next::Again { after } = next else { return next };
        self.budget.repeated(now_ms);
        self.again(index, is_replaced, repeat.policy.map(|policy| policy.hosts).unwrap_or_default(), outcome);
        Next::Again { after: if is_replaced { Duration::ZERO } else { after } }
    }

    /// Whether there is an endpoint that speaks nothing against, beside the ones tried and `index`.
    fn ahead(&self, index: usize, now_ms: u64) -> Ahead {
        let Some(entry) = self.entry else { return Ahead::Failed };
        let mut all = entry.priorities.levels().flatten().map(|other| *other as usize);
        let is_fresh = |other: usize| {
            other != index && !self.tried.contains(&other) && !entry.states.is_ejected(other, now_ms)
        };
        if all.any(is_fresh) { Ahead::Fresh } else { Ahead::Failed }
    }

    fn again<T>(
        &mut self,
        index: usize,
        is_replaced: bool,
        hosts: RetryHosts,
        outcome: &Result<T, AttemptError>,
    ) {
        if is_replaced {
            self.has_replaced = true;
            self.same = Some(index);
        } else {
            self.number += 1;
            match (hosts, self.entry) {
                (RetryHosts::Any, _) => {}
                (RetryHosts::NextPriority, Some(entry)) => {
                    let mut levels = entry.priorities.levels();
                    let level = levels.find(|level| level.iter().any(|other| *other as usize == index));
                    self.tried.extend(level.into_iter().flatten().map(|other| *other as usize));
                    self.tried.push(index);
                }
                (RetryHosts::NotTried, _) | (RetryHosts::NextPriority, None) => self.tried.push(index),
            }
        }
        if let Err(error) = outcome {
            self.last = Some(error.reason);
        }
    }

    /// Why the last attempt failed; that there is no endpoint, if there was none.
    pub(super) fn last_reason(&self) -> Reason {
        self.last.unwrap_or(Reason::NoEndpoint)
    }

    /// Which attempt is next, from 1.
    #[cfg(test)]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}
