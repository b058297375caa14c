use super::*;

fn frame(kind: u8, len: usize) -> FrameHead {
    FrameHead { len, kind, flags: 0, stream: 1 }
}

/// Frames that nobody needs, until they are too many.
fn counted(kind: u8, written: u64) -> (u32, Flood) {
    let mut counter = FloodCounter::new(FloodLimits::default());
    (1..)
        .find_map(|count| counter.count(frame(kind, 0), written).map(|flood| (count, flood)))
        .unwrap_or((0, Flood::Others))
}

#[tokio::test(start_paused = true)]
async fn each_kind_has_its_limit() {
    let limits = FloodLimits::default();
    assert_eq!(counted(PING, 0), (limits.pings + 1, Flood::Pings));
    assert_eq!(counted(SETTINGS, 0), (limits.settings + 1, Flood::Settings));
    assert_eq!(counted(DATA, 0), (limits.empty_frames + 1, Flood::EmptyFrames));
    assert_eq!(counted(CONTINUATION, 0), (limits.continuations_per_block + 1, Flood::Continuation));
    assert_eq!(counted(WINDOW_UPDATE, 0), (limits.window_updates + 1, Flood::WindowUpdates));
    assert_eq!(counted(WINDOW_UPDATE, 128), (limits.window_updates + 2, Flood::WindowUpdates));
}

#[tokio::test(start_paused = true)]
async fn what_is_spread_over_time_is_no_flood() {
    let mut counter = FloodCounter::new(FloodLimits::default());
    for _ in 0..10 {
        for _ in 0..FloodLimits::default().pings / 2 {
            assert_eq!(counter.count(frame(PING, 8), 0), None);
        }
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
}

/// As whoever sends and whoever reads see it.
#[test]
fn small_frames_cost_until_they_are_read() {
    let mut small = SmallFrames::new(1000);
    assert!(!small.is_exceeded_by(6));
    assert!(!small.is_exceeded_by(6));
    small.forget(6);
    assert!(!small.is_exceeded_by(6));
    assert!(!small.is_exceeded_by(1256), "a large one earns");
    assert!(!small.is_exceeded_by(6) && !small.is_exceeded_by(6) && !small.is_exceeded_by(6));
    assert!(!small.is_exceeded_by(6));
    assert!(small.is_exceeded_by(6));
}
