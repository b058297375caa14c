//! Passing queries on: to the name server that the client asked, or to the host's own.
//!
//! The name servers of resolv.conf stand for each other, so one that is silent costs half a second, not the
//! client's whole patience ([`resolver`]); a server of the client's own choice is the only one asked.

use super::Transport;
use super::exchange::{ask_tcp, ask_udp};
use super::resolver::{Resolver, Step};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Sockets of all queries beside one for each. A query that would want a further one while none is left closes those
/// that it has: it asks one server after the other then, as the C library does.
pub(super) const FURTHER_SOCKETS_MAX: usize = 256;
/// A server that was asked earlier than another and was still silent when that one answered counts as slow for this time, and is asked last.
const SLOW_FOR: Duration = Duration::from_secs(30);

/// Where other names are asked for.
pub struct Forwarder {
    source: Source,
    known: Mutex<Known>,
    turn: AtomicUsize,
    further: Semaphore,
}

enum Source {
    /// A file in the format of resolv.conf(5).
    File(PathBuf),
    /// These, whomever the client asked.
    Fixed,
}

struct Known {
    /// When the file that was read last had been written.
    written: Option<SystemTime>,
    resolver: Arc<Resolver>,
    /// Servers of the file that were slow, and until when that counts.
    slow: HashMap<SocketAddr, Instant>,
}

/// What one step brought, and its socket's permit; `None`: it was the query's own.
type Answer<'a> = (Step, io::Result<Vec<u8>>, Option<Further<'a>>);

/// One of [`FURTHER_SOCKETS_MAX`].
type Further<'a> = SemaphorePermit<'a>;

impl Forwarder {
    /// The name servers of `/etc/resolv.conf`, or, when given, these instead.
    pub fn new(fixed: Vec<SocketAddr>) -> Self {
        let source =
            if fixed.is_empty() { Source::File(PathBuf::from("/etc/resolv.conf")) } else { Source::Fixed };
        let known = Known { written: None, resolver: Arc::new(Resolver::of(fixed)), slow: HashMap::new() };
        Self::with(source, known)
    }

    fn with(source: Source, known: Known) -> Self {
        let further = Semaphore::new(FURTHER_SOCKETS_MAX);
        Self { source, known: Mutex::new(known), turn: AtomicUsize::new(0), further }
    }

    /// The best answer; `None`: nobody gave one in time. `asked` is the server that the client named.
    pub async fn ask(
        &self,
        query: &[u8],
        transport: Transport,
        asked: Option<SocketAddr>,
    ) -> Option<Vec<u8>> {
        let asked = asked.filter(|_| matches!(self.source, Source::File(_)));
        let (resolver, mut plan) = self.plan(asked);
        if transport == Transport::Tcp {
            // A connection repeats by itself what is lost.
            plan.truncate(resolver.servers.len().max(1));
        }
        let race = Race {
            forwarder: self,
            hold_until: Instant::now() + resolver.timeout,
            first: plan.first()?.server,
            first_has_spoken: false,
            kept: None,
        };
        let ask = |step: Step, further| async move {
            let reply = match transport {
                Transport::Udp => ask_udp(query, step.server).await,
                Transport::Tcp => ask_tcp(query, step.server).await,
            };
            (step, reply, further)
        };
        let deadline = Instant::now() + resolver.query_time();
        race.run(plan, ask, deadline).await
    }

    fn plan(&self, asked: Option<SocketAddr>) -> (Arc<Resolver>, Vec<Step>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Source::File(path) = &self.source {
            known.refresh(path);
        }
        let now = Instant::now();
        let is_slow = |server: &SocketAddr| known.slow.get(server).is_some_and(|until| *until > now);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (Arc::clone(&known.resolver), known.resolver.plan(asked, is_slow, turn))
    }

    fn set_slow(&self, servers: impl Iterator<Item = SocketAddr>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + SLOW_FOR;
        for server in servers {
            // Bounded: only servers of the file are remembered.
            if known.resolver.servers.contains(&server) {
                known.slow.insert(server, until);
            }
        }
    }

    fn set_answered(&self, server: SocketAddr) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).slow.remove(&server);
    }
}

impl Known {
    /// Reads the file when it has changed: DHCP clients and VPNs replace it.
    fn refresh(&mut self, path: &Path) {
        let written = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        if written.is_some() && written == self.written {
            return;
        }
        match std::fs::read_to_string(path) {
            Ok(text) => {
                self.resolver = Arc::new(Resolver::parse(&text));
                self.slow.clear();
                self.written = written;
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read the host's name servers");
            }
        }
    }
}

/// One query on its way to several servers.
struct Race<'a> {
    forwarder: &'a Forwarder,
    first: SocketAddr,
    first_has_spoken: bool,
    /// Until then an answer without records of a server that was not the first is kept: the first may know more.
    hold_until: Instant,
    kept: Option<(Worth, Vec<u8>)>,
}

impl<'a> Race<'a> {
    async fn run<F: Future<Output = Answer<'a>>>(
        mut self,
        plan: Vec<Step>,
        ask: impl Fn(Step, Option<Further<'a>>) -> F,
        deadline: Instant,
    ) -> Option<Vec<u8>> {
        let start = Instant::now();
        let mut steps = plan.into_iter().peekable();
        let further = &self.forwarder.further;
        let mut sockets = QuerySockets { open: FuturesUnordered::new(), has_own: false, further };
        // In the order in which they were asked.
        let mut silent: Vec<Step> = Vec::new();
        loop {
            let next = steps.peek().map(|step| start + step.after);
            tokio::select! {
                biased;
                Some((step, reply)) = sockets.next() => {
                    let asked_before = silent.iter().take_while(|earlier| **earlier != step);
                    let slower: Vec<SocketAddr> = asked_before.map(|earlier| earlier.server).collect();
                    silent.retain(|one| *one != step);
                    if let Some(reply) = self.take(step, reply) {
                        self.forwarder.set_slow(slower.into_iter().filter(|server| *server != step.server));
                        return Some(reply);
                    }
                    // It failed: no reason to wait for the next one's turn.
                    silent.extend(steps.next().inspect(|step| sockets.open(|further| ask(*step, further))));
                }
                () = tokio::time::sleep_until(next.unwrap_or(deadline)), if next.is_some() => {
                    silent.extend(steps.next().inspect(|step| sockets.open(|further| ask(*step, further))));
                }
                () = tokio::time::sleep_until(self.hold_until), if self.kept.is_some() => break,
                () = tokio::time::sleep_until(deadline) => break,
            }
            if sockets.open.is_empty() && steps.peek().is_none() {
                break;
            }
        }
        self.forwarder.set_slow(silent.iter().map(|step| step.server));
        self.kept.map(|(_, reply)| reply)
    }

    /// The answer that ends the race, if this one makes it known.
    fn take(&mut self, step: Step, reply: io::Result<Vec<u8>>) -> Option<Vec<u8>> {
        self.first_has_spoken |= step.server == self.first;
        match reply {
            Ok(reply) => {
                self.forwarder.set_answered(step.server);
                let worth = worth(&reply);
                if worth == Worth::Records {
                    return Some(reply);
                }
                // Better than a failure, if nobody has more; and no records are better than a refusal.
                if self.kept.as_ref().is_none_or(|(kept, _)| worth < *kept) {
                    self.kept = Some((worth, reply));
                }
            }
            Err(error) => {
                tracing::debug!(server = %step.server, %error, "ask a name server");
                self.forwarder.set_slow(std::iter::once(step.server));
            }
        }
        let is_final = |kept: &mut (Worth, Vec<u8>)| kept.0 == Worth::Nothing && self.first_has_spoken;
        self.kept.take_if(is_final).map(|(_, reply)| reply)
    }
}

/// The sockets of one query: one of its own, and further ones as long as there are any.
struct QuerySockets<'a, F> {
    open: FuturesUnordered<F>,
    has_own: bool,
    further: &'a Semaphore,
}

impl<'a, F: Future<Output = Answer<'a>>> QuerySockets<'a, F> {
    /// Asks, at the cost of who was asked earlier if there is no socket left.
    fn open(&mut self, ask: impl FnOnce(Option<Further<'a>>) -> F) {
        let further = if self.has_own { self.further.try_acquire().ok() } else { None };
        if further.is_none() {
            if self.has_own {
                self.open.clear();
            }
            self.has_own = true;
        }
        self.open.push(ask(further));
    }

    /// What somebody said, or why he did not; `None`: nobody is being asked.
    async fn next(&mut self) -> Option<(Step, io::Result<Vec<u8>>)> {
        let (step, reply, further) = self.open.next().await?;
        self.has_own &= further.is_some();
        Some((step, reply))
    }
}

/// The best comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// There are records, or it is cut off and will be asked for again over TCP.
    Records,
    /// There are none, says the server.
    Nothing,
    /// The server cannot or will not say: SERVFAIL, NOTIMP, REFUSED (the C library goes to the next one).
    Refusal,
}

fn worth(reply: &[u8]) -> Worth {
    let code = reply.get(3).map_or(2, |flags| flags & 0x0f);
    let is_truncated = reply.get(2).is_some_and(|flags| flags & 0x02 != 0);
    let has_answers = reply.get(6..8).is_some_and(|count| count != [0, 0]);
    match code {
        2 | 4 | 5 => Worth::Refusal,
        0 if has_answers || is_truncated => Worth::Records,
        _ => Worth::Nothing,
    }
}

#[cfg(test)]
mod tests;
