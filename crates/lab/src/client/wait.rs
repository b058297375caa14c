//! Waiting for a state from a test, with a generous deadline and the time it took on standard error.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);

/// Looks until `look` finds something; `Ok(None)` and `Err` mean not yet. After `deadline` the last
/// reason is the error. Always looks at least once.
pub fn wait_until<T>(what: &str, deadline: Duration, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    let found = look_until(what, deadline, look)?;
    eprintln!("waited {:.2?} for {what}", begun.elapsed());
    Ok(found)
}

/// The same without a word.
pub(super) fn look_until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        let found = look();
        if let Ok(Some(value)) = found {
            return Ok(value);
        }
        if begun.elapsed() >= deadline {
            match found {
                Err(error) => return Err(error.context(format!("{what}: not within {deadline:?}"))),
                Ok(_) => bail!("{what}: not within {deadline:?}"),
            }
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}
