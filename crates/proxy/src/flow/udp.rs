//! The life of datagrams at a gateway's listener. What comes from one address and port of a caller is a session: it goes
//! to one endpoint, which is chosen as for a connection, and what that says comes back. There is no end but silence.
//!
//! Nobody waits here for anybody else: what does not fit is dropped, as a network would.

use crate::flow::downstream::{Downstream, DownstreamSide};
use crate::flow::tcp::{TcpConnection, until_denied};
use crate::observe::{Direction, L4Transport};
use crate::upstream::Target;
use crate::worker::Worker;
use bytes::Bytes;
use codec::relay::Moved;
use daemon::{Drain, Tasks};
use model::Reason;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// A session in which nothing was said for so long has ended (Envoy's default).
const SESSION_IDLE_MAX: Duration = Duration::from_secs(60);
/// Sessions of one listener, for each worker. More: refused, [`Reason::TooManyConnections`].
const SESSIONS_MAX: usize = 4096;
/// Datagrams of one session that wait to be sent on. More are dropped.
const QUEUE_DATAGRAMS_MAX: usize = 64;
/// Bytes of all sessions of one listener that wait, for each worker. More are dropped.
const QUEUED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// After a failed receive, so that a lasting error does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// The sessions of one socket.
struct Sessions {
    worker: Rc<Worker>,
    socket: Rc<UdpSocket>,
    /// The place that the configuration names.
    at: SocketAddr,
    stop: Drain,
    by_caller: RefCell<HashMap<SocketAddr, mpsc::Sender<Datagram>>>,
    /// Free bytes of [`QUEUED_BYTES_MAX`].
    room: Rc<Cell<usize>>,
}

/// A datagram that waits, with its part of the room.
struct Datagram {
    bytes: Bytes,
    room: Rc<Cell<usize>>,
}

impl Datagram {
    /// `None`: there is no room.
    fn queue(bytes: &[u8], room: &Rc<Cell<usize>>) -> Option<Self> {
        room.set(room.get().checked_sub(bytes.len())?);
        Some(Self { bytes: Bytes::copy_from_slice(bytes), room: Rc::clone(room) })
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        self.room.set(self.room.get() + self.bytes.len());
    }
}

/// Serves a listener's socket until `stop`; sessions are tasks of `tasks`.
pub(crate) async fn serve(worker: Rc<Worker>, socket: UdpSocket, at: SocketAddr, tasks: Tasks, stop: Drain) {
    let sessions = Rc::new(Sessions {
        worker,
        socket: Rc::new(socket),
        at,
        stop: stop.clone(),
        by_caller: RefCell::default(),
        room: Rc::new(Cell::new(QUEUED_BYTES_MAX)),
    });
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = tokio::select! {
            biased;
            () = stop.started() => return,
            received = sessions.socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok((length, caller)) => {
                sessions.take(caller, buffer.get(..length).unwrap_or_default(), &tasks);
            }
            Err(error) => {
                // For example an ICMP error about an earlier answer; the socket itself goes on.
                tracing::debug!(%error, %at, "receive a datagram");
                sleep(ERROR_PAUSE).await;
            }
        }
    }
}

impl Sessions {
    /// Hands a datagram to its session, which it begins if there is none.
    fn take(self: &Rc<Self>, caller: SocketAddr, bytes: &[u8], tasks: &Tasks) {
        let Some(datagram) = Datagram::queue(bytes, &self.room) else { return };
        let known = self.by_caller.borrow().get(&caller).cloned();
        let Some(datagram) = (match known {
            None => Some(datagram),
            Some(queue) => match queue.try_send(datagram) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => None,
                Err(mpsc::error::TrySendError::Closed(datagram)) => Some(datagram),
            },
        }) else {
            return;
        };
        let has_room = self.by_caller.borrow().len() < SESSIONS_MAX;
        let Some(permit) = has_room.then(|| self.worker.limits.callers.take(caller.ip())).flatten() else {
            return self.worker.recorder.refused(caller, Reason::TooManyConnections);
        };
        let (queue, queued) = mpsc::channel(QUEUE_DATAGRAMS_MAX);
        // There is room for one in a new queue.
        let _ = queue.try_send(datagram);
        self.by_caller.borrow_mut().insert(caller, queue);
        let own = Rc::clone(self);
        tasks.spawn_local("udp session", async move {
            Box::pin(session(&own, caller, queued)).await;
            own.by_caller.borrow_mut().remove(&caller);
            drop(permit);
        });
    }
}

/// From the first datagram to the silence after the last one.
async fn session(sessions: &Sessions, caller: SocketAddr, queued: mpsc::Receiver<Datagram>) {
    let Sessions { worker, at, stop, .. } = sessions;
    let side = DownstreamSide::edge(*at, caller);
    let downstream = Downstream::new(worker, caller, side, None, stop.clone());
    let mut connection = TcpConnection::begin(&downstream, Direction::Gateway);
    connection.transport = L4Transport::Udp;
    match connection.enter(*at).await {
        Ok((target, permit)) => {
            carry(sessions, &downstream, connection, &target, queued).await;
            drop(permit);
        }
        Err(failure) => connection.denied(failure),
    }
}

async fn carry(
    sessions: &Sessions,
    downstream: &Downstream,
    mut connection: TcpConnection,
    target: &Target,
    queued: mpsc::Receiver<Datagram>,
) {
    let opened = sessions.worker.upstream.open_datagrams(target, &connection).await;
    match opened {
        Ok((upstream, active)) => {
            let moved = Moved::default();
            connection.opened();
            let reason = tokio::select! {
                reason = exchange(sessions, downstream.address, &upstream, queued, &moved) => reason,
                failure = until_denied(downstream, L4Transport::Udp, sessions.at) => {
                    connection.denial = failure.denial;
                    Some(failure.reason)
                }
            };
            connection.ended(reason, &moved);
            drop(active);
        }
        Err(reason) => {
            connection.attempts.forget_endpoint();
            connection.refused(reason);
        }
    }
}

/// Both ways until it is silent; why it ended, if not by that.
async fn exchange(
    sessions: &Sessions,
    caller: SocketAddr,
    upstream: &UdpSocket,
    mut queued: mpsc::Receiver<Datagram>,
    moved: &Moved,
) -> Option<Reason> {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut silent = std::pin::pin!(sleep_until(Instant::now() + SESSION_IDLE_MAX));
    loop {
        tokio::select! {
            () = sessions.stop.started() => return None,
            () = &mut silent => return None,
            datagram = queued.recv() => {
                let datagram = datagram?;
                if let Err(error) = upstream.send(&datagram.bytes).await
                    && is_refusal(&error)
                {
                    return Some(Reason::ConnectFailed);
                }
                moved.to_upstream.set(moved.to_upstream.get() + datagram.bytes.len() as u64);
            }
            received = upstream.recv(&mut buffer) => match received {
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    // What the caller's network does not take is lost, as it would be further on.
                    if sessions.socket.send_to(bytes, caller).await.is_ok() {
                        moved.to_downstream.set(moved.to_downstream.get() + length as u64);
                    }
                }
                Err(error) if is_refusal(&error) => return Some(Reason::ConnectFailed),
                Err(error) => {
                    tracing::debug!(%error, "receive from an endpoint");
                    sleep(ERROR_PAUSE).await;
                }
            },
        }
        silent.as_mut().reset(Instant::now() + SESSION_IDLE_MAX);
    }
}

/// The endpoint's host says that nobody listens there (ICMP).
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}
