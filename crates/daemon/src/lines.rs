//! Lines that are written without anybody waiting for it: those who log hand over, a thread of its own writes.
//!
//! A disk that is slow or full, or a collector that stopped reading, costs lines, never time. What is lost is
//! counted, and told once it can be. A line is written whole or taken back: where that cannot be, it is ended,
//! so that the next one begins at its own start.

mod sink;

pub use sink::{Sink, append, output};

use crate::metrics::Counter;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines on their way to the writer; more are dropped and counted.
pub const QUEUE_LINES_MAX: usize = 2048;
/// Bytes of those lines; more are dropped and counted.
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes gathered before they are written.
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// At the end of the process, lines that are queued get so long to be written; then they are lost.
pub const FINISH_MAX: Duration = Duration::from_secs(2);
/// Losses are logged at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Enough for a thread that copies bytes and logs a line now and then.
const STACK_BYTES: usize = 256 * 1024;

enum Message {
    Line(Vec<u8>),
    Stop,
}

/// The end of a log that is written to.
pub struct Lines {
    queue: SyncSender<Message>,
    state: Arc<State>,
    /// Breaks off when the writer has ended.
    ended: Mutex<Receiver<()>>,
}

#[derive(Default)]
struct State {
    queued_bytes: AtomicUsize,
    dropped: Counter,
    is_finishing: AtomicBool,
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
    /// Starts the writer thread on `sink`. `name`: of the thread, and of the log where losses are written.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub fn start(name: &'static str, sink: impl Sink + 'static) -> io::Result<Self> {
        let (queue, lines) = mpsc::sync_channel(QUEUE_LINES_MAX);
        let state = Arc::<State>::default();
        let (alive, ended) = mpsc::sync_channel(0);
        let writer = Writer { name, sink, state: Arc::clone(&state), is_torn: false, told: Told::default() };
        std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(move || {
            writer.run(&lines);
            drop(alive);
        })?;
        Ok(Self { queue, state, ended: Mutex::new(ended) })
    }

    /// Hands over a line, with its end. Dropped and counted when too much is queued.
    pub fn write(&self, line: Vec<u8>) {
        let bytes = line.len();
        let before = self.state.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > QUEUE_BYTES_MAX || self.queue.try_send(Message::Line(line)).is_err() {
            self.state.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.state.dropped.inc();
        }
    }

    /// Lines lost to a full queue or a failing sink.
    pub fn dropped(&self) -> &Counter {
        &self.state.dropped
    }

    /// Writes what is queued and ends the thread, within [`FINISH_MAX`]. Lines that come later are dropped.
    pub fn finish(&self) -> Finished {
        self.state.is_finishing.store(true, Ordering::Release);
        // Fails when the queue is full: then the writer comes by and sees the mark.
        let _ = self.queue.try_send(Message::Stop);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(FINISH_MAX) {
            Err(RecvTimeoutError::Timeout) => Finished::Stuck,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Finished::InTime,
        }
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
    fn run(mut self, queue: &Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH_BYTES_MAX);
        let mut is_open = true;
        while is_open {
            let mut next = match queue.try_recv() {
                Err(TryRecvError::Empty) if self.state.is_finishing.load(Ordering::Acquire) => break,
                Err(TryRecvError::Empty) => queue.recv().map_err(|_| TryRecvError::Disconnected),
                next => next,
            };
            loop {
                match next {
                    Ok(Message::Line(line)) => {
                        self.state.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
                        batch.extend_from_slice(&line);
                    }
                    Ok(Message::Stop) | Err(TryRecvError::Disconnected) => {
                        is_open = false;
                        break;
                    }
                    Err(TryRecvError::Empty) => break,
                }
                if batch.len() >= BATCH_BYTES_MAX {
                    break;
                }
                next = queue.try_recv();
            }
            let outcome = self.write(&batch);
            batch.clear();
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
