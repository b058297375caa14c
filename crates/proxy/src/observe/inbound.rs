//! Who came to the application's ports, and by which way: counted by each worker for itself, once for each connection,
//! added up when the control thread asks. Nothing is counted for a request, and nothing in mutual TLS at a port that
//! takes nothing else.

use daemon::clock::Clock;
use model::mtls::MtlsMode;
use model::observed::{
    ConnectionCount, ConnectionTally, Counted, MUTUAL_TLS_PORTS_MAX, ObservedInbound, PLAINTEXT_CALLERS_MAX,
    PlaintextCaller, REFUSED_CALLERS_MAX,
};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What all workers counted.
pub(super) struct InboundCounts {
    started: SystemTime,
    // Taken when a worker starts, and to report.
    workers: Mutex<Vec<SharedTallies>>,
}

// Its worker takes it for each connection, others now and then, so that it is free almost always.
type SharedTallies = Arc<Mutex<InboundTallies>>;

#[derive(Default)]
struct InboundTallies {
    plaintext: ConnectionTally<PlaintextCaller>,
    refused: ConnectionTally<PlaintextCaller>,
    mutual_tls: ConnectionTally<u16>,
}

/// One worker's end.
pub struct WorkerInbound {
    tallies: SharedTallies,
    clock: Arc<dyn Clock>,
}

/// A connection in plaintext, as long as it is open.
#[must_use]
pub struct OpenPlaintext {
    tallies: SharedTallies,
    clock: Arc<dyn Clock>,
    caller: PlaintextCaller,
    counted: Counted,
}

impl InboundCounts {
    pub(super) fn new(started: SystemTime) -> Self {
        Self { started, workers: Mutex::default() }
    }

    /// For one more worker.
    pub(super) fn worker(&self, clock: Arc<dyn Clock>) -> WorkerInbound {
        let tallies = SharedTallies::default();
        lock(&self.workers).push(Arc::clone(&tallies));
        WorkerInbound { tallies, clock }
    }

    /// All workers together.
    pub(super) fn sum(&self, report_every: Duration) -> ObservedInbound {
        let mut sum = ObservedInbound {
            started: self.started,
            report_every,
            plaintext: ConnectionTally::default(),
            refused: ConnectionTally::default(),
            mutual_tls: ConnectionTally::default(),
        };
        for worker in lock(&self.workers).iter() {
            let tallies = lock(worker);
            sum.plaintext.merge(&tallies.plaintext, PLAINTEXT_CALLERS_MAX);
            sum.refused.merge(&tallies.refused, REFUSED_CALLERS_MAX);
            sum.mutual_tls.merge(&tallies.mutual_tls, MUTUAL_TLS_PORTS_MAX);
        }
        sum
    }
}

impl WorkerInbound {
    /// A caller was let in, in plaintext, at a port of this mode.
    pub fn plaintext(&self, port: u16, address: IpAddr, mode: MtlsMode) -> OpenPlaintext {
        let caller = PlaintextCaller { port, address: address.to_canonical(), mode };
        let count = ConnectionCount::opened(self.clock.wall());
        let counted = lock(&self.tallies).plaintext.add(caller, count, PLAINTEXT_CALLERS_MAX);
        OpenPlaintext { tallies: Arc::clone(&self.tallies), clock: Arc::clone(&self.clock), caller, counted }
    }

    /// A caller was refused for its plaintext.
    pub fn plaintext_refused(&self, port: u16, address: IpAddr) {
        let caller = PlaintextCaller { port, address: address.to_canonical(), mode: MtlsMode::Strict };
        let count = ConnectionCount::came(self.clock.wall());
        lock(&self.tallies).refused.add(caller, count, REFUSED_CALLERS_MAX);
    }

    /// A caller came in mutual TLS to a port that takes plaintext too.
    pub fn mutual_tls(&self, port: u16) {
        let count = ConnectionCount::came(self.clock.wall());
        lock(&self.tallies).mutual_tls.add(port, count, MUTUAL_TLS_PORTS_MAX);
    }
}

impl Drop for OpenPlaintext {
    fn drop(&mut self) {
        lock(&self.tallies).plaintext.close(self.caller, self.counted, self.clock.wall());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
