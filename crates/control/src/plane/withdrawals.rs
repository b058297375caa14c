//! Taking workloads out: who asks waits until every proxy that knows them has confirmed that they are gone.

use super::Plane;
use crate::presence::Standing;
use crate::stream::{AckState, StreamId};
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
    sequences: Vec<(StreamId, u64)>,
    /// Those that left while it was waited for need no confirmation.
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
        let before: Vec<(StreamId, u64)> =
            self.streams.iter().map(|(id, stream)| (*id, stream.sequence())).collect();
        let changed = self.flush(now);
        let sequences = match is_repeated {
            // It changes nothing, and which proxies the first one concerned is not known any more: wait for all that
            // is under way, rather than say that everybody knows.
            true => self.streams.iter().map(|(id, stream)| (*id, stream.sent())).collect(),
            false => {
                let concerned = |id: &StreamId| {
                    let stream = self.streams.get(id);
                    stream.is_some_and(|stream| stream.subscriptions().any(|s| changed.contains(s)))
                };
                before.into_iter().filter(|(id, _)| concerned(id)).collect::<Vec<_>>()
            }
        };
        if self.withdrawals.len() >= WITHDRAWALS_MAX {
            let _ = reply.send(Withdrawn { acknowledged: 0, outstanding: sequences.len() as u32 });
            return;
        }
        self.withdrawals.push(Withdrawal { deadline, sequences, reply });
        self.complete_withdrawals(Some(now));
    }

    /// Takes out a workload whose proxy is gone: it is not missed any more, and its certificate cannot be renewed.
    pub fn withdraw_gone(&mut self, uid: &str) {
        self.rows.extend(self.presence.withdraw(uid));
        self.sync_workload(uid);
    }

    /// Answers withdrawals that everybody confirmed, or (with a time) whose deadline has passed.
    pub(super) fn complete_withdrawals(&mut self, now: Option<Instant>) {
        if self.withdrawals.is_empty() {
            return;
        }
        for withdrawal in std::mem::take(&mut self.withdrawals) {
            let mut result = Withdrawn::default();
            let mut waiting = 0;
            for (id, sequence) in &withdrawal.sequences {
                match self.streams.get(id).map(|stream| stream.ack_state(*sequence)) {
                    None => {}
                    Some(AckState::Acked) => result.acknowledged += 1,
                    Some(AckState::Nacked) => result.outstanding += 1,
                    Some(AckState::Pending) => waiting += 1,
                }
            }
            let late = now.is_some_and(|now| now >= withdrawal.deadline);
            if waiting > 0 && !late && !withdrawal.reply.is_closed() {
                self.withdrawals.push(withdrawal);
                continue;
            }
            result.outstanding += waiting;
            let _ = withdrawal.reply.send(result);
        }
    }
}
