//! How long what is open on a connection goes on after the certificate has expired that its peer opened it with: as
//! long as that peer proves in fresh handshakes that it would be let in again. What that proves and what not is told
//! in decision 0006.

#[cfg(test)]
mod tests;

use model::trust::EXPIRED_GRACE;
use std::time::{Duration, Instant};

/// So long before one of the two certificates ends, the caller shakes hands anew.
pub const HANDSHAKE_AHEAD: Duration = Duration::from_secs(10);

/// What becomes of the streams that are open on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenStreams {
    /// They go on; to be asked again at that moment.
    GoOn {
        /// When they end if the peer proves nothing newer.
        until: Instant,
    },
    /// They end now.
    Cut,
}

/// Judges the streams of a connection. `proven` is when the newest certificate expires that its peer has shown in a
/// handshake, be it that of this connection or a later one.
pub fn open_streams(proven: Instant, now: Instant) -> OpenStreams {
    let until = proven + EXPIRED_GRACE;
    if now < until { OpenStreams::GoOn { until } } else { OpenStreams::Cut }
}

/// When the certificates expire that the two ends of a pair have shown each other last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The peer's.
    pub theirs: Instant,
    /// Ours.
    pub ours: Instant,
}

/// Whether a caller is to shake hands with a peer anew, on behalf of streams that outlive their certificates. `own` is
/// when the certificate expires that it would show.
pub fn is_handshake_due(shown: Shown, own: Instant, now: Instant) -> bool {
    let soon = now + HANDSHAKE_AHEAD;
    let has_newer = own > shown.ours;
    // With one that has expired it would be refused, and to show the same again proves nothing to the peer.
    own > now && (shown.theirs <= soon || (shown.ours <= soon && has_newer))
}
