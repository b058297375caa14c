//! How long to wait before something is tried again. The dice are the caller's.

use std::time::Duration;

/// Waits that double from one failure to the next, up to a limit.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// The first wait, and the longest one.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// The wait before the next attempt. `jitter01` (from 0.0 to 1.0) takes up to half of it away, so that those
    /// who failed together do not come back together.
    pub fn next_wait(&mut self, jitter01: f64) -> Duration {
        let wait = self.next.mul_f64(0.5 + 0.5 * jitter01.clamp(0.0, 1.0));
        self.next = (self.next * 2).min(self.max);
        wait
    }

    /// The same with a shorter limit, for now: one that waited long may have to hurry later.
    pub fn next_wait_within(&mut self, max: Duration, jitter01: f64) -> Duration {
        self.next = self.next.min(max);
        self.next_wait(jitter01)
    }

    /// It worked: the next wait is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    #[test]
    fn waits_double_up_to_their_limit() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(500));
        assert_eq!([1.0; 5].map(|jitter| backoff.next_wait(jitter)), [100, 200, 400, 500, 500].map(ms));
        assert_eq!([0.0, 0.5, 7.0].map(|jitter| backoff.next_wait(jitter)), [250, 375, 500].map(ms));
        assert_eq!((backoff.next_wait_within(ms(60), 1.0), backoff.next_wait(1.0)), (ms(60), ms(120)));
        backoff.reset();
        assert_eq!(backoff.next_wait(1.0), ms(100));
    }
}
