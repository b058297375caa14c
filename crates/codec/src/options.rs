//! Limits and waits of connections, each with a name, a unit and a default.

use std::rc::Rc;
use std::time::Duration;

use crate::Budget;

/// Bytes of a request's head (line and fields). More: 431.
pub(crate) const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Fields of a request. More: 431.
pub(crate) const HEADERS_MAX: usize = 100;
/// From the first byte of a head to its last; also for the HTTP/2 preface. Longer: the connection is closed.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Without any request at hand. Longer: the connection is ended gracefully.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client of HTTP/1 that has ended its sending side after a whole request waits for bytes of its answer.
/// Longer, and it counts as gone: whoever closes a connection looks the same at first. Envoy and nginx take such a
/// client for gone at once; some (wget of BusyBox) do wait.
pub(crate) const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a draining HTTP/1 connection without a request waits for one more, so as not to lose it.
pub(crate) const DRAIN_LINGER: Duration = Duration::from_secs(1);
/// How long bytes of a stream may wait for who reads it, in HTTP/1 and HTTP/2 alike. Longer, or fewer than
/// [`STALL_BYTES_MIN`] in that time: the stream is reset, in HTTP/1 the connection cut. A stream without bytes to send
/// waits for ever. Envoy's default of `stream_idle_timeout`.
pub const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes that must pass within a stall or write timeout; a window that trickles is a shut one.
pub(crate) const STALL_BYTES_MIN: usize = 16 * 1024;
/// How long a client's socket may be full. Longer, or less than [`STALL_BYTES_MIN`] in that time: the connection
/// is cut. The kernel buffers megabytes, so that a slow but honest client shows no progress for a while.
pub const WRITE_TIMEOUT: Duration = STREAM_IDLE_TIMEOUT;
/// How long a request waits for a stream where the peer's limit is in use. Longer: [`crate::SendErrorKind::Full`].
pub(crate) const STREAM_OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// Streams that an HTTP/2 server is taken to allow until its SETTINGS say so (RFC 9113 recommends no fewer).
pub(crate) const INITIAL_STREAMS_MAX: usize = 100;
/// Streams that a peer may have open on one connection. More: `REFUSED_STREAM`.
pub(crate) const STREAMS_MAX: u32 = 256;
/// Bytes that a peer may send on a stream, and on a connection, before we have read them.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// See [`STREAM_WINDOW_BYTES`].
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// As [`CONNECTION_WINDOW_BYTES`] where one connection carries the streams of many callers: those that nobody
/// reads must not keep the others waiting, up to 64 of them.
pub const SHARED_CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Bytes that one HTTP/2 connection may make us hold, beside what its streams cost by being open: heads beyond the
/// ordinary, bodies kept for a further attempt, responses that nobody reads. No room: who has waited longest for
/// its reader is reset (`ENHANCE_YOUR_CALM`); a head gets `REFUSED_STREAM`; a body cannot be sent again.
pub const HELD_BYTES_MAX: usize = 160 * 1024;
/// As [`HELD_BYTES_MAX`] where one connection carries the streams of many callers.
pub const SHARED_HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a response costs while it waits for its reader, without its bytes: its stream, and its connection to who
/// sends it. Measured.
pub(crate) const STALLED_BYTES: usize = 24 * 1024;
/// How long a response may wait for its stream's window before it is charged.
pub(crate) const STALL_GRACE: Duration = Duration::from_secs(1);
/// As [`STALL_GRACE`], for one that waits for the connection's window or socket, of which nothing moves: a network
/// may be away for a while.
pub(crate) const CONNECTION_STALL_GRACE: Duration = Duration::from_secs(8);
/// What responses may cost together while they wait for that. More: they have no grace.
pub(crate) const PAUSED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that are read at once from who answers in HTTP/1: the head of a response must fit, and of its body so much
/// is held twice while nobody takes it.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a frame that we accept.
pub(crate) const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// Bytes that may wait for an HTTP/2 connection's socket before its streams must wait with their data.
pub(crate) const SEND_BUFFER_BYTES_MAX: usize = 96 * 1024;
/// As [`SEND_BUFFER_BYTES_MAX`] where one connection carries the streams of many callers.
pub const SHARED_SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// What small frames of data that nobody has read may cost, at 256 bytes each less what is in them, where one
/// connection carries the streams of many callers: 64 streams that are not read, with a window full of frames of 100
/// bytes, must not cut the others.
const SHARED_DATA_FRAME_BUDGET_BYTES: usize = 32 * 1024 * 1024;
/// `RST_STREAM` frames per second where one connection carries the streams of many callers, who may all go away at
/// once.
const SHARED_RESETS_MAX: u32 = 64 * 1024;

/// How a server treats its connections.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// [`HEADER_TIMEOUT`].
    pub header_timeout: Duration,
    /// [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// [`HALF_CLOSE_TIMEOUT`]; HTTP/1 only.
    pub half_close_timeout: Duration,
    /// [`DRAIN_LINGER`]; HTTP/1 only.
    pub drain_linger: Duration,
    /// [`STREAM_IDLE_TIMEOUT`]; HTTP/2 only, not for tunnels.
    pub stall_timeout: Duration,
    /// [`WRITE_TIMEOUT`].
    pub write_timeout: Duration,
    /// [`HEADER_BYTES_MAX`]; at least 8 KiB for HTTP/1.
    pub max_header_bytes: usize,
    /// [`HEADERS_MAX`]; another value than the default costs HTTP/1 an allocation per request.
    pub max_headers: usize,
    /// [`STREAMS_MAX`].
    pub max_concurrent_streams: u32,
    /// [`STREAM_WINDOW_BYTES`].
    pub stream_window: u32,
    /// [`CONNECTION_WINDOW_BYTES`].
    pub connection_window: u32,
    /// [`FRAME_BYTES_MAX`].
    pub max_frame_bytes: u32,
    /// [`SEND_BUFFER_BYTES_MAX`].
    pub max_send_buffer_bytes: usize,
    /// Whether requests may ask for another protocol ([`crate::Upgrade`]). If not, HTTP/1 ignores that and HTTP/2 does
    /// not offer it.
    pub takes_upgrades: bool,
    /// What a connection may make us hold; HTTP/2 only. `None`: [`HELD_BYTES_MAX`], and nobody is told when it runs
    /// out.
    pub budget: Option<Rc<Budget>>,
    /// Frames per second; see there.
    pub floods: FloodLimits,
    /// Streams that end before their time, or that nobody reads; see there.
    pub resets: ResetLimits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            half_close_timeout: HALF_CLOSE_TIMEOUT,
            drain_linger: DRAIN_LINGER,
            stall_timeout: STREAM_IDLE_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            max_header_bytes: HEADER_BYTES_MAX,
            max_headers: HEADERS_MAX,
            max_concurrent_streams: STREAMS_MAX,
            stream_window: STREAM_WINDOW_BYTES,
            connection_window: CONNECTION_WINDOW_BYTES,
            max_frame_bytes: FRAME_BYTES_MAX,
            max_send_buffer_bytes: SEND_BUFFER_BYTES_MAX,
            takes_upgrades: false,
            budget: None,
            floods: FloodLimits::default(),
            resets: ResetLimits::default(),
        }
    }
}

/// How an HTTP/2 client treats its connection.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// [`STREAM_IDLE_TIMEOUT`].
    pub stall_timeout: Duration,
    /// [`HEADER_BYTES_MAX`], for responses.
    pub max_header_bytes: usize,
    /// [`STREAM_WINDOW_BYTES`].
    pub stream_window: u32,
    /// [`SHARED_CONNECTION_WINDOW_BYTES`].
    pub connection_window: u32,
    /// [`FRAME_BYTES_MAX`].
    pub max_frame_bytes: u32,
    /// [`SHARED_SEND_BUFFER_BYTES_MAX`].
    pub max_send_buffer_bytes: usize,
    /// What `:scheme` says.
    pub scheme: http::uri::Scheme,
    /// [`STREAM_OPEN_TIMEOUT`].
    pub open_timeout: Duration,
    /// [`INITIAL_STREAMS_MAX`].
    pub initial_max_streams: usize,
    /// `None`: never asks whether the peer is still there.
    pub keepalive: Option<KeepaliveOptions>,
    /// Frames per second; see there.
    pub floods: FloodLimits,
    /// [`ResetLimits::shared`].
    pub resets: ResetLimits,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            stall_timeout: STREAM_IDLE_TIMEOUT,
            max_header_bytes: HEADER_BYTES_MAX,
            stream_window: STREAM_WINDOW_BYTES,
            connection_window: SHARED_CONNECTION_WINDOW_BYTES,
            max_frame_bytes: FRAME_BYTES_MAX,
            max_send_buffer_bytes: SHARED_SEND_BUFFER_BYTES_MAX,
            scheme: http::uri::Scheme::HTTP,
            open_timeout: STREAM_OPEN_TIMEOUT,
            initial_max_streams: INITIAL_STREAMS_MAX,
            keepalive: None,
            floods: FloodLimits::default(),
            resets: ResetLimits::shared(),
        }
    }
}

/// When a silent peer is asked, and how long it may take to answer.
#[derive(Clone, Copy, Debug)]
pub struct KeepaliveOptions {
    /// Silence, with streams open, after which a PING is sent: so long at least, twice as long at most.
    pub silence: Duration,
    /// From the PING to anything that the peer says. Longer: the connection is given up.
    pub timeout: Duration,
}

/// HTTP/2 frames that a peer may send, on average per second, with a burst of one second's worth.
#[derive(Clone, Copy, Debug)]
pub struct FloodLimits {
    /// `RST_STREAM`. Cancelling is legitimate, so this follows what a busy polite client does. A server may reset
    /// each stream that we opened, beside that.
    pub resets: u32,
    /// `PING`, with and without ACK.
    pub pings: u32,
    /// `SETTINGS`, with and without ACK.
    pub settings: u32,
    /// `DATA`, `HEADERS`, `CONTINUATION` without content that do not end a stream.
    pub empty_frames: u32,
    /// `CONTINUATION` frames of one header block (not per second).
    pub continuations_per_block: u32,
    /// `WINDOW_UPDATE` beyond one for each 128 bytes that we wrote.
    pub window_updates: u32,
    /// `PRIORITY`.
    pub priorities: u32,
    /// All other control frames.
    pub others: u32,
    /// Requests for whose heads there is no room ([`HELD_BYTES_MAX`]).
    pub refusals: u32,
}

impl Default for FloodLimits {
    fn default() -> Self {
        FloodLimits {
            resets: 1_000,
            pings: 500,
            settings: 50,
            empty_frames: 500,
            continuations_per_block: 16,
            window_updates: 10_000,
            priorities: 1_000,
            others: 500,
            refusals: 1_000,
        }
    }
}

impl FloodLimits {
    /// For a connection that carries the streams of many callers.
    pub fn shared() -> Self {
        FloodLimits { resets: SHARED_RESETS_MAX, refusals: SHARED_RESETS_MAX, ..FloodLimits::default() }
    }
}

/// Streams of one connection that end before their time, or that nobody reads. At a limit the connection is cut, and
/// all streams on it.
#[derive(Clone, Copy, Debug)]
pub struct ResetLimits {
    /// Requests that the peer takes back before we have looked at them. More at once: cut.
    pub pending_accept: usize,
    /// Streams that we reset and remember for a second: what the peer had sent on them by then is honest. What comes on
    /// one that is forgotten is an error of the peer's.
    pub remembered: usize,
    /// Errors of the peer's for which we reset a stream. More in the life of the connection: cut.
    pub errors: usize,
    /// What small frames of data that nobody has read may cost in bytes, at 256 each less what is in them. More: cut.
    /// `None`: half of the connection's window.
    pub data_frame_budget: Option<usize>,
}

impl Default for ResetLimits {
    /// For callers of which nothing is known.
    fn default() -> Self {
        ResetLimits { pending_accept: 20, remembered: 50, errors: 1024, data_frame_budget: None }
    }
}

impl ResetLimits {
    /// For a connection that carries the streams of many callers, of which hundreds may go away at once.
    pub fn shared() -> Self {
        ResetLimits {
            pending_accept: 4096,
            remembered: 8192,
            errors: 64 * 1024,
            data_frame_budget: Some(SHARED_DATA_FRAME_BUDGET_BYTES),
        }
    }
}
