//! Taking workloads out: who asks waits until every proxy that knows them has confirmed that they are gone.

use super::Plane;
use crate::presence::Standing;
use crate::stream::{AckState, StreamId};
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::sync::oneshot;

/// Withdrawals waited for at once; more are answered at once with nothing confirmed.
pub const WITHDRAWALS_MAX: usize = 1024;

/// How a withdrawal ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Streams that confirmed it.
    pub acknowledged: u32,
    /// Streams that did not in time, or refused.
    pub outstanding: u32,
}

pub(super) struct Withdrawal {
    pub(super) deadline: Instant,
    /// Streams not heard of yet, with what they must confirm. Those that leave meanwhile need no confirmation.
    waiting: BTreeMap<StreamId, u64>,
    outcome: Withdrawn,
    reply: oneshot::Sender<Withdrawn>,
}

impl Plane {
    /// Takes a workload out: nothing new is sent to it. The answer comes when every stream that was told
    /// has confirmed, or at the deadline.
    pub fn withdraw(
        &mut self,
        uid: &str,
        deadline: Instant,
        now: Instant,
        reply: oneshot::Sender<Withdrawn>,
    ) {
        let is_repeated = self.presence.find(uid).is_some_and(|known| known.standing == Standing::Withdrawn);
        self.rows.extend(self.presence.withdraw(uid));
        self.sync_workload(uid);
        self.observed.forget(uid);
        let before: Vec<(StreamId, u64)> =
            self.streams.iter().map(|(id, stream)| (*id, stream.sequence())).collect();
        let changed = self.flush(now);
        let waiting: BTreeMap<StreamId, u64> = match is_repeated {
            // It changes nothing, and which proxies the first one concerned is not known any more: wait for all that
            // is under way, rather than say that everybody knows.
            true => self.streams.iter().map(|(id, stream)| (*id, stream.sent())).collect(),
            false => {
                let concerned = |id: &StreamId| {
                    let stream = self.streams.get(id);
                    stream.is_some_and(|stream| stream.subscriptions().any(|s| changed.contains(s)))
                };
                before.into_iter().filter(|(id, _)| concerned(id)).collect()
            }
        };
        if self.withdrawals.len() >= WITHDRAWALS_MAX {
            let _ = reply.send(Withdrawn { acknowledged: 0, outstanding: waiting.len() as u32 });
            return;
        }
        let streams: Vec<StreamId> = waiting.keys().copied().collect();
        self.withdrawals.push(Withdrawal { deadline, waiting, outcome: Withdrawn::default(), reply });
        streams.into_iter().for_each(|id| self.hear_for_withdrawals(id));
        self.complete_withdrawals(Some(now));
    }

    /// Takes out a workload whose proxy is gone: it is not missed any more, and its certificate cannot be renewed.
    pub fn withdraw_gone(&mut self, uid: &str) {
        self.rows.extend(self.presence.withdraw(uid));
        self.sync_workload(uid);
        self.observed.forget(uid);
    }

    /// Takes note of how far a stream is that was heard of, or that is gone. The others are not looked at: each of
    /// thousands confirms.
    pub(super) fn hear_for_withdrawals(&mut self, id: StreamId) {
        for withdrawal in &mut self.withdrawals {
            let Some(sequence) = withdrawal.waiting.get(&id) else { continue };
            match self.streams.get(&id).map(|stream| stream.ack_state(*sequence)) {
                Some(AckState::Pending) => continue,
                Some(AckState::Acked) => withdrawal.outcome.acknowledged += 1,
                Some(AckState::Nacked) => withdrawal.outcome.outstanding += 1,
                None => {}
            }
            withdrawal.waiting.remove(&id);
        }
    }

    /// Answers withdrawals that everybody confirmed, or (with a time) whose deadline has passed.
    pub(super) fn complete_withdrawals(&mut self, now: Option<Instant>) {
        let is_over = |withdrawal: &mut Withdrawal| {
            let is_late = now.is_some_and(|now| now >= withdrawal.deadline);
            withdrawal.waiting.is_empty() || is_late || withdrawal.reply.is_closed()
        };
        for withdrawal in self.withdrawals.extract_if(.., is_over) {
            let Withdrawn { acknowledged, outstanding } = withdrawal.outcome;
            let outstanding = outstanding + withdrawal.waiting.len() as u32;
            // Nobody waits any more: fine.
            let _ = withdrawal.reply.send(Withdrawn { acknowledged, outstanding });
        }
    }
}
