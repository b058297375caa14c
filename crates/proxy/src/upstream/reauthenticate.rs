//! Connections that take nothing new, because a certificate on them ends, and still carry something: tunnels, long
//! responses. Both ends let that go on as long as the pair proves itself in fresh handshakes (decision 0006), and the
//! caller sees to those: one at a time, where ordinary calls have not made one anyway. `http2_pool` hands them in and
//! opens what is asked for.

use super::connect::{Http2Connection, Meeting, MeshPath};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Such connections of one worker. More: what they carry is cut an hour after its certificates have expired, unless
/// other handshakes prove the pair.
const SPENT_MAX: usize = 4096;
/// How long after a handshake that failed or proved nothing new the next is tried.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The connections of one worker that are spent and in use.
#[derive(Default)]
pub(crate) struct SpentConnections {
    all: RefCell<Vec<Spent>>,
    /// Whose turn it is to shake hands.
    turn: Mutex<()>,
}

struct Spent {
    connection: Rc<Http2Connection>,
    /// When its peer was last asked to prove itself.
    tried: Option<Instant>,
}

impl SpentConnections {
    /// Takes one over that is no longer given out, if it is in use and can be met anew.
    pub(crate) fn keep(&self, connection: &Rc<Http2Connection>) {
        let mut all = self.all.borrow_mut();
        if connection.is_spent() && is_in_use(connection) && all.len() < SPENT_MAX {
            all.push(Spent { connection: Rc::clone(connection), tried: None });
        }
    }

    /// Forgets those that are no longer in use. Answers whether any is left.
    pub(crate) fn sweep(&self) -> bool {
        let mut all = self.all.borrow_mut();
        all.retain(|spent| is_in_use(&spent.connection));
        !all.is_empty()
    }

    /// Lets go of all.
    pub(crate) fn clear(&self) {
        self.all.borrow_mut().clear();
    }

    /// Shakes hands by `shake` with the peers of those that need it, one after the other: a renewal is no burst. `own`
    /// tells when the certificate ends that they would be shown.
    pub(crate) async fn reauthenticate<F: Future<Output = ()>>(
        &self,
        own: impl Fn() -> Instant,
        shake: impl Fn(Meeting) -> F,
    ) {
        // Whoever has it goes on until nothing is left to be done.
        let Ok(_turn) = self.turn.try_lock() else { return };
        while let Some(meeting) = self.next_due(own()) {
            shake(meeting).await;
        }
    }

    fn next_due(&self, own: Instant) -> Option<Meeting> {
        let now = Instant::now();
        let mut all = self.all.borrow_mut();
        let may_try =
            |spent: &Spent| spent.tried.is_none_or(|tried| now.duration_since(tried) >= RETRY_AFTER);
        let is_due = |spent: &&mut Spent| {
            let meeting = spent.connection.meeting.as_ref();
            may_try(spent) && meeting.is_some_and(|meeting| meeting.peer.is_handshake_due(own))
        };
        // Through a gateway first, which proves that as well.
        let is_through = |spent: &&mut Spent| {
            spent.connection.meeting.as_ref().map(|meeting| matches!(meeting.path, MeshPath::Through(_)))
        };
        let due = all.iter_mut().filter(is_due).max_by_key(is_through)?;
        due.tried = Some(now);
        due.connection.meeting.clone()
    }
}

fn is_in_use(connection: &Http2Connection) -> bool {
    connection.meeting.is_some() && connection.active() > 0
}
