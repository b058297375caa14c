//! Layer 1. Bytes and messages: HTTP/1, HTTP/2, tunnels, relay, the connection's budget.
//!
//! One `Body` for all versions, one `Reply` for all servers, one `SendError` for all clients. It never routes
//! and knows no policy. After a server handed out a request, the `host` header is
//! the one authority, and the target is in origin form except for CONNECT. Everything suits single-threaded
//! runtimes: nothing is `Send` except `client` and `dial`. Read next: `http1::server`, `http2::server`.

#![allow(clippy::module_name_repetitions, reason = "names say what they are where they are imported too")]

pub mod body; // one body for both versions
mod budget; // what a connection makes us hold
mod interim; // 1xx
mod upgrade; // to another protocol
mod error; // why serving or sending failed
pub mod headers; // hop-by-hop and protected names
mod options; // limits with names
mod proxy_protocol; // by whom a connection was made
mod reply; // what a service answers
pub mod sniff; // first bytes -> protocol
pub mod stream; // erased io, prefixed io, tunnels
mod chunks; // streams that hand over memory

pub mod client; // one-shot HTTP/1.1 client
pub mod dial; // names -> connections
mod watchdog; // deadlines of a connection

pub mod http1;
pub mod http2;
pub mod relay; // bytes both ways

pub use body::{Body, BodyEnd, BodyError, Watch};
pub use budget::{Budget, Charge};
pub use chunks::{BoxChunkIo, ChunkIo, Chunks};
pub use error::{BoxError, Flood, SendError, SendErrorKind, ServeError, Violation};
pub use interim::{InterimSink, Interims};
pub use options::{
    ClientOptions, FloodLimits, HELD_BYTES_MAX, KeepaliveOptions, ResetLimits,
    SHARED_CONNECTION_WINDOW_BYTES, SHARED_HELD_BYTES_MAX, SHARED_SEND_BUFFER_BYTES_MAX, STREAM_IDLE_TIMEOUT,
    ServerOptions, WRITE_TIMEOUT,
};
pub use proxy_protocol::{
    PROXY_HEADER_BYTES_MAX, ProxiedAddresses, ProxyHeaderRead, ProxyVersion, read_proxy_header,
    write_proxy_header,
};
pub use reply::{Reply, ResetCode, TunnelRun};
pub use sniff::{HTTP2_PREFACE, Sniff, sniff};
pub use stream::{BoxIo, Io, Prefixed, Tunnel};
pub use upgrade::{NoProtocol, Upgrade};
