//! Limits and waits of connections, each with a name, a unit and a default.

use std::time::Duration;

/// Bytes of a request's head (line and fields). More: 431.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Fields of a request. More: 431.
pub const HEADERS_MAX: usize = 100;
/// From the first byte of a head to its last; also for the HTTP/2 preface. Longer: the connection is closed.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Without any request at hand. Longer: the connection is ended gracefully.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a draining HTTP/1 connection without a request waits for one more, so as not to lose it.
pub const DRAIN_LINGER: Duration = Duration::from_secs(1);
/// How long bytes of a stream may wait for a client's window. Longer, or fewer than [`STALL_BYTES_MIN`] in that
/// time: the stream is reset. A stream without bytes to send waits for ever.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// As [`STALL_TIMEOUT`], for who may have reasons to be slow: upstreams, other proxies, the own application.
pub const PATIENT_STALL_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes that must pass within a stall or write timeout; a window that trickles is a shut one.
pub const STALL_BYTES_MIN: usize = 16 * 1024;
/// How long a client's socket may be full. Longer, or less than [`STALL_BYTES_MIN`] in that time: the connection
/// is cut. The kernel buffers megabytes, so that a slow but honest client shows no progress for a while.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(300);
/// Streams that a peer may have open on one connection. More: `REFUSED_STREAM`.
pub const STREAMS_MAX: u32 = 256;
/// Bytes that a peer may send on a stream, and on a connection, before we have read them.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// See [`STREAM_WINDOW_BYTES`].
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// As [`CONNECTION_WINDOW_BYTES`] where one connection carries the streams of many callers: those that nobody
/// reads must not keep the others waiting, up to 64 of them.
pub const SHARED_CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Bytes of a frame that we accept.
pub const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// Bytes that a stream may have queued in the `h2` crate for sending.
pub const SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// How a server treats its connections.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// [`HEADER_TIMEOUT`].
    pub header_timeout: Duration,
    /// [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// [`DRAIN_LINGER`]; HTTP/1 only.
    pub drain_linger: Duration,
    /// [`STALL_TIMEOUT`]; HTTP/2 only, not for tunnels.
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
    /// Frames per second; see there.
    pub floods: FloodLimits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            drain_linger: DRAIN_LINGER,
            stall_timeout: STALL_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            max_header_bytes: HEADER_BYTES_MAX,
            max_headers: HEADERS_MAX,
            max_concurrent_streams: STREAMS_MAX,
            stream_window: STREAM_WINDOW_BYTES,
            connection_window: CONNECTION_WINDOW_BYTES,
            max_frame_bytes: FRAME_BYTES_MAX,
            max_send_buffer_bytes: SEND_BUFFER_BYTES_MAX,
            floods: FloodLimits::default(),
        }
    }
}

/// How an HTTP/2 client treats its connection.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// [`PATIENT_STALL_TIMEOUT`].
    pub stall_timeout: Duration,
    /// [`HEADER_BYTES_MAX`], for responses.
    pub max_header_bytes: usize,
    /// [`STREAM_WINDOW_BYTES`].
    pub stream_window: u32,
    /// [`SHARED_CONNECTION_WINDOW_BYTES`].
    pub connection_window: u32,
    /// [`FRAME_BYTES_MAX`].
    pub max_frame_bytes: u32,
    /// [`SEND_BUFFER_BYTES_MAX`].
    pub max_send_buffer_bytes: usize,
    /// What `:scheme` says.
    pub scheme: http::uri::Scheme,
    /// Frames per second; see there.
    pub floods: FloodLimits,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            stall_timeout: PATIENT_STALL_TIMEOUT,
            max_header_bytes: HEADER_BYTES_MAX,
            stream_window: STREAM_WINDOW_BYTES,
            connection_window: SHARED_CONNECTION_WINDOW_BYTES,
            max_frame_bytes: FRAME_BYTES_MAX,
            max_send_buffer_bytes: SEND_BUFFER_BYTES_MAX,
            scheme: http::uri::Scheme::HTTP,
            floods: FloodLimits::default(),
        }
    }
}

/// HTTP/2 frames that a peer may send, on average per second, with a burst of one second's worth.
#[derive(Clone, Copy, Debug)]
pub struct FloodLimits {
    /// `RST_STREAM`. Cancelling is legitimate, so this follows what a busy polite client does.
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
        }
    }
}
