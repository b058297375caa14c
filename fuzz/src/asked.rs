//! Who is asked: codec, whose reading it is about, and those whose readings it is held against.

mod http1; // clients' and servers' side of HTTP/1, in this process
mod http2; // the same of HTTP/2
mod processes; // nginx and HAProxy

pub(crate) use http1::{codec_client, codec_server, hyper_client, hyper_server};
pub(crate) use http2::{codec_http2_client, codec_http2_server, h2_client, h2_server};
pub(crate) use processes::OtherProxies;

use crate::case::Case;
use crate::understanding::{TakenMessage, Understanding, statuses};
use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::LocalSet;

/// Bytes between two ends in one process.
const PIPE_BYTES: usize = 64 * 1024;
/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// Turns that the other side gets before the next piece comes.
const TURNS_BETWEEN: usize = 4;
/// How long anything may take; in one process nothing really waits.
const HANG: Duration = Duration::from_secs(3_600);

/// Ends that none should come to; the first is followed by its place.
pub(crate) const PANICS: &str = "panics";
pub(crate) const HANGS: &str = "hangs";

thread_local! {
    /// A panic is a finding.
    static IS_ASKING: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic was.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// Messages as they are taken, filled by whoever serves.
type Taken = Rc<RefCell<Vec<TakenMessage>>>;

/// Runs those who are asked in this process, in a time that jumps whenever nothing else can happen.
pub(crate) struct InProcess {
    runtime: tokio::runtime::Runtime,
}

impl InProcess {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match IS_ASKING.get() {
            true => PANIC.set(Some(panic.location().map(ToString::to_string).unwrap_or_default())),
            false => others(panic),
        }));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        Ok(InProcess { runtime })
    }

    /// How `asked` says that it ended, or that it panics or hangs.
    pub(crate) fn run(&self, asked: impl Future<Output = String>) -> String {
        // A set of its own each time: what is left of a case must not run in the next one.
        let local = LocalSet::new();
        let timed = async { tokio::time::timeout(HANG, asked).await };
        IS_ASKING.set(true);
        let ended = catch_unwind(AssertUnwindSafe(|| local.block_on(&self.runtime, timed)));
        drop(local);
        IS_ASKING.set(false);
        let ended = match ended {
            Ok(Ok(end)) => end,
            Ok(Err(_)) => HANGS.into(),
            Err(_) => String::new(),
        };
        // Also one in a task, which ends that task alone.
        PANIC.take().map_or(ended, |place| format!("{PANICS} at {place}"))
    }
}

/// What a server takes of `case`: `serve` says how serving a connection ended.
fn of_server<E: Debug>(
    process: &InProcess,
    case: &Case,
    serve: impl AsyncFnOnce(DuplexStream, &Taken) -> Result<(), E>,
) -> Understanding {
    let taken = Taken::default();
    let end = process.run(async {
        let (near, far) = duplex(PIPE_BYTES);
        let (served, answers) = tokio::join!(serve(far, &taken), converse(near, case));
        let (statuses, end) = (statuses(&answers), end_of(served, "ended"));
        if statuses.is_empty() { end } else { format!("{statuses}; {end}") }
    });
    Understanding { end, taken: taken.take() }
}

/// What a client takes of the responses that `answer` sends: `ask` says how asking ended.
fn of_client(
    process: &InProcess,
    taken: Taken,
    ask: impl AsyncFnOnce(DuplexStream, &Taken) -> String,
    answer: impl AsyncFnOnce(DuplexStream),
) -> Understanding {
    let end = process.run(async {
        let (near, far) = duplex(PIPE_BYTES);
        let answering = async {
            answer(far).await;
            std::future::pending().await
        };
        tokio::select! { end = ask(near, &taken) => end, () = answering => String::new() }
    });
    Understanding { end, taken: taken.take() }
}

/// How something ended; `well` if nothing went wrong.
fn end_of<E: Debug>(ended: Result<(), E>, well: &str) -> String {
    ended.map_or_else(|error| format!("{error:?}"), |()| well.into())
}

/// Writes the case to `io` piece by piece, ends the sending side, and returns all that comes back.
async fn converse(io: impl AsyncRead + AsyncWrite, case: &Case) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(io);
    let writing = async {
        // Whoever has refused it does not read on.
        if write_pieces(&mut write, case.pieces()).await.is_ok() {
            let _ = write.shutdown().await;
        }
    };
    let reading = async {
        let mut answer = Vec::new();
        let _ = (&mut read).take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await;
        answer
    };
    tokio::join!(writing, reading).1
}

/// Writes one piece after the other.
async fn write_pieces<'a>(
    io: &mut (impl AsyncWrite + Unpin),
    pieces: impl Iterator<Item = &'a [u8]>,
) -> std::io::Result<()> {
    for piece in pieces {
        io.write_all(piece).await?;
        take_turns(TURNS_BETWEEN).await;
    }
    Ok(())
}

/// Waits until all of a case has come that comes by itself.
async fn settle(case: &Case) {
    take_turns(TURNS_BETWEEN * (case.piece_count() + 2)).await;
}

async fn take_turns(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// Notes the begin of a message; its place among those taken.
fn begin(taken: &Taken, message: TakenMessage) -> usize {
    let mut taken = taken.borrow_mut();
    taken.push(message);
    taken.len() - 1
}

/// Reads `body` into the message that was begun at `place`; what broke it off, if anything did.
async fn fill<B>(taken: &Taken, place: usize, body: B) -> Result<(), B::Error>
where
    B: http_body_util::BodyExt<Data = bytes::Bytes> + Unpin,
{
    let mut body = body;
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let mut taken = taken.borrow_mut();
        let Some(message) = taken.get_mut(place) else { return Ok(()) };
        if let Some(data) = frame.data_ref() {
            message.body.extend_from_slice(data);
        }
        message.take_trailers(frame.trailers_ref());
    }
    if let Some(message) = taken.borrow_mut().get_mut(place) {
        message.is_whole = true;
    }
    Ok(())
}
