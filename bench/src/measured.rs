//! What was measured, before it is a report.

use crate::wrk::Load;

/// One block: what one peer cost in one round, in microseconds of CPU per request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub round: usize,
    pub user_us: f64,
    pub system_us: f64,
    pub load: Load,
    pub resident_mib: f64,
}

impl Block {
    pub(crate) fn total_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

/// All that was measured of one peer.
pub(crate) struct Measured {
    pub name: &'static str,
    pub version: String,
    pub blocks: Vec<Block>,
    pub idle_mib: f64,
    pub syscalls: Option<f64>,
}

/// Milliseconds until a change took effect.
pub(crate) struct Effect {
    pub median_ms: f64,
    pub worst_ms: f64,
}

/// What many HTTPRoutes cost.
pub(crate) struct ManyRoutes {
    pub gateway_routes: usize,
    /// Resident memory without and with these routes.
    pub empty_mib: f64,
    pub full_mib: f64,
    /// From the start to the first answer by the last route.
    pub served_s: f64,
    /// How many routes are stored, and the writes per second then.
    pub writes: Vec<(usize, f64)>,
}

/// What a world of many objects costs.
pub(crate) struct ManyObjects {
    pub services: usize,
    pub routes: usize,
    pub policies: usize,
    pub globals: usize,
    /// Heap of the objects, and of all that is made of them and of the workloads.
    pub objects_mib: f64,
    pub world_mib: f64,
    /// Until all of them are taken in, one after the other.
    pub scratch_ms: f64,
    /// All findings for the first time, and how many there are.
    pub findings_ms: f64,
    pub findings: usize,
    pub changes: Vec<OneChange>,
}

/// What one change costs, medians.
pub(crate) struct OneChange {
    pub what: &'static str,
    /// Until it is known which proxies it concerns.
    pub change_us: f64,
    /// All findings after it.
    pub findings_ms: f64,
}

/// The middle one, or the mean of the two in the middle; NaN for none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (len, half) if len % 2 == 1 => values[half],
        (_, half) => (values[half - 1] + values[half]) / 2.0,
    }
}
