//! Lines that are written without anybody waiting for it: those who log hand over, a thread of its own writes many of
//! them at once.
//!
//! A disk that is slow or full, or a collector that stopped reading, costs lines, never time. What is lost is
//! counted, and told once it can be. A line is written whole or taken back: where that cannot be, it is ended,
//! so that the next one begins at its own start.

mod sink;

pub use sink::{Sink, append, output};

use crate::metrics::Counter;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of lines that wait for the writer; more are dropped and counted.
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that are written without waiting for more.
const BATCH_BYTES: usize = 64 * 1024;
/// At the end of the process, lines that are queued get this long to be written; then they are lost.
pub const FINISH_MAX: Duration = Duration::from_secs(2);
/// Losses are logged at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Enough for a thread that copies bytes and logs a line now and then.
const STACK_BYTES: usize = 256 * 1024;

/// The end of a log that is written to.
pub struct Lines {
    state: Arc<State>,
    /// Breaks off when the writer has ended.
    ended: Mutex<Receiver<()>>,
}

#[derive(Default)]
struct State {
    queue: Mutex<Queue>,
    /// Wakes the writer: the queue is not empty any more, or holds a batch, or is finishing.
    filled: Condvar,
    dropped: Counter,
}

#[derive(Default)]
struct Queue {
    lines: Vec<u8>,
    is_finishing: bool,
}

/// Whether all that was queued has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It has, or could not be and is counted.
    InTime,
    /// The sink is stuck: what was queued is lost.
    Stuck,
}

impl Lines {
    /// Starts the writer thread on `sink`. `name`: of the thread, and of the log where losses are written. `gather`:
    /// how long the first line waits for others, so that many are written at once and the thread is woken seldom; as
    /// Envoy's `file_flush_interval`.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub fn start(name: &'static str, sink: impl Sink + 'static, gather: Duration) -> io::Result<Self> {
        let state = Arc::<State>::default();
        let (alive, ended) = mpsc::sync_channel(0);
        let writer = Writer { name, sink, state: Arc::clone(&state), is_torn: false, told: Told::default() };
        std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(move || {
            writer.run(gather);
            drop(alive);
        })?;
        Ok(Self { state, ended: Mutex::new(ended) })
    }

    /// Hands over a line, with its end. Dropped and counted when too much is queued.
    pub fn write(&self, line: &[u8]) {
        let mut queue = self.state.queue();
        let before = queue.lines.len();
        let after = before + line.len();
        if queue.is_finishing || after > QUEUE_BYTES_MAX {
            drop(queue);
            return self.state.dropped.inc();
        }
        queue.lines.extend_from_slice(line);
        drop(queue);
        if before == 0 || (before < BATCH_BYTES && after >= BATCH_BYTES) {
            self.state.filled.notify_one();
        }
    }

    /// Lines lost to a full queue or a failing sink.
    pub fn dropped(&self) -> &Counter {
        &self.state.dropped
    }

    /// Writes what is queued and ends the thread, within [`FINISH_MAX`]. Lines that come later are dropped.
    pub fn finish(&self) -> Finished {
        self.state.queue().is_finishing = true;
        self.state.filled.notify_one();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(FINISH_MAX) {
            Err(RecvTimeoutError::Timeout) => Finished::Stuck,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Finished::InTime,
        }
    }
}

impl Drop for Lines {
    /// Nobody writes any more: the thread ends when all is written.
    fn drop(&mut self) {
        self.state.queue().is_finishing = true;
        self.state.filled.notify_one();
    }
}

impl State {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, then at most `gather` for a batch of them, and puts all into `batch`, which is empty. Whether
    /// more may come.
    fn take(&self, batch: &mut Vec<u8>, gather: Duration) -> bool {
        let is_idle = |queue: &mut Queue| queue.lines.is_empty() && !queue.is_finishing;
        let is_short = |queue: &mut Queue| queue.lines.len() < BATCH_BYTES && !queue.is_finishing;
        let queue = self.filled.wait_while(self.queue(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let waited = self.filled.wait_timeout_while(queue, gather, is_short);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut queue.lines, batch);
        !queue.is_finishing
    }
}

/// The thread that writes.
struct Writer<S> {
    name: &'static str,
    sink: S,
    state: Arc<State>,
    /// The last line that was written has no end.
    is_torn: bool,
    told: Told,
}

/// What was said of losses.
#[derive(Default)]
struct Told {
    at: Option<Instant>,
    dropped: u64,
}

impl<S: Sink> Writer<S> {
    fn run(mut self, gather: Duration) {
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        let mut is_open = true;
        while is_open {
            is_open = self.state.take(&mut batch, gather);
            let outcome = self.write(&batch);
            batch.clear();
            batch.shrink_to(BATCH_BYTES);
            self.tell(outcome.err());
        }
    }

    /// Writes whole lines only, as far as the sink lets us; those that are lost are counted.
    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        let mut written = 0;
        let outcome = self.end_torn_line().and_then(|()| self.write_counting(batch, &mut written));
        if outcome.is_err() {
            let whole = batch[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lost = batch[whole..].iter().filter(|byte| **byte == b'\n').count();
            self.state.dropped.add(lost as u64);
            if written > whole {
                self.is_torn = self.sink.take_back((written - whole) as u64).is_err();
            }
        }
        outcome
    }

    fn end_torn_line(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.write_counting(b"\n", &mut 0)?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// As `write_all`, which does not tell how much of it was written.
    fn write_counting(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        while *written < bytes.len() {
            match self.sink.write(&bytes[*written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => *written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says, now and then, how many lines were lost. Our own log's own losses are told by itself, once it goes on.
    fn tell(&mut self, cause: Option<io::Error>) {
        let dropped = self.state.dropped.get();
        let now = Instant::now();
        let is_due = self.told.at.is_none_or(|at| now.duration_since(at) >= TELL_EVERY);
        if dropped > self.told.dropped && is_due {
            let lost = dropped - self.told.dropped;
            self.told = Told { at: Some(now), dropped };
            let cause = cause.map_or_else(|| "too many at once".to_owned(), |cause| cause.to_string());
            tracing::warn!(log = self.name, lost, cause, "log lines were lost");
        }
    }
}

#[cfg(test)]
mod tests;
