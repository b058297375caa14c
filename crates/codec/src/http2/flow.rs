//! Windows (RFC 9113 section 5.2): how much each side may send, of a stream and of a connection.

/// A window until someone says otherwise (RFC 9113 section 6.9.2).
pub(super) const FIRST_WINDOW_BYTES: u32 = 65_535;
/// No window may be larger.
pub(super) const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;

/// The window was made larger than any may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WindowOverflow;

/// What the peer lets us send. SETTINGS may push it below nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow(i64);

impl SendWindow {
    pub(super) fn new(bytes: u32) -> Self {
        SendWindow(i64::from(bytes))
    }

    /// Bytes that may be sent now.
    pub(super) fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// So many bytes are sent.
    pub(super) fn take(&mut self, len: usize) {
        debug_assert!(len <= self.room(), "more than the window");
        self.0 -= len as i64;
    }

    /// The peer made it so much larger, or with new settings smaller.
    pub(super) fn shift(&mut self, by: i64) -> Result<(), WindowOverflow> {
        let bytes = self.0 + by;
        if bytes > i64::from(WINDOW_BYTES_MAX) {
            return Err(WindowOverflow);
        }
        self.0 = bytes;
        Ok(())
    }
}

/// What we let the peer send. It is given back in large portions.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecvWindow {
    /// As the peer knows it.
    room: u32,
    /// Taken out again by whom it was for, and not told yet.
    given_back: u32,
    /// From so many bytes on it is told.
    portion: u32,
}

impl RecvWindow {
    pub(super) fn new(bytes: u32) -> Self {
        RecvWindow { room: bytes, given_back: 0, portion: (bytes / 2).max(1) }
    }

    /// The peer sent so many bytes. Returns whether it might.
    pub(super) fn take(&mut self, len: usize) -> bool {
        let left = u32::try_from(len).ok().and_then(|len| self.room.checked_sub(len));
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    /// So many bytes have found their reader. Returns by how much to widen the peer's window, when it is
    /// time.
    pub(super) fn give_back(&mut self, len: usize) -> Option<u32> {
        self.given_back = self.given_back.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        // A peer that has less left than it would be given may be waiting for it: what others do not read must not keep
        // these bytes, too.
        let is_too_little = self.given_back < self.portion && self.given_back < self.room;
        if is_too_little || self.given_back == 0 {
            return None;
        }
        let by = std::mem::take(&mut self.given_back).min(WINDOW_BYTES_MAX - self.room);
        self.room += by;
        Some(by)
    }
}

#[cfg(test)]
mod tests;
