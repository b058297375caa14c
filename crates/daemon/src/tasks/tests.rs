#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use tokio::sync::oneshot;

use super::Tasks;
use crate::Drain;

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

#[test]
fn a_drain_waits_for_tasks_that_end() {
    run(async {
        let (tasks, (trigger, drain)) = (Tasks::new(), Drain::new());
        let (ended, seen) = oneshot::channel();
        tasks.spawn("polite", async move {
            drain.started().await;
            ended.send(()).unwrap();
        });
        trigger.start();
        assert!(tasks.drain(Duration::from_secs(1)).await.aborted.is_empty());
        seen.await.unwrap();
    });
}

/// Without a `LocalSet` tokio panics, and drops the task in it: that must not find the books locked.
#[test]
fn a_task_that_cannot_be_started_leaves_no_entry() {
    let tasks = Tasks::new();
    let without = tasks.clone();
    let started = std::thread::spawn(move || without.spawn_local("nowhere", async {}));
    assert!(started.join().is_err(), "tokio panics");
    assert!(tasks.is_empty());
}

#[test]
fn a_drain_aborts_tasks_that_do_not_end() {
    run(async {
        let tasks = Tasks::new();
        tasks.spawn("stuck", std::future::pending());
        tasks.spawn_local("also stuck", std::future::pending());
        tasks.spawn("quick", async {});
        assert_eq!(tasks.drain(Duration::from_secs(1)).await.aborted, ["also stuck", "stuck"]);
        assert!(tasks.is_empty());
    });
}

#[test]
fn a_panic_ends_only_its_own_task() {
    run(async {
        let tasks = Tasks::new();
        tasks.spawn("panics", async { panic!("on purpose") });
        let (go_on, waiting) = oneshot::channel::<()>();
        tasks.spawn("goes on", async { drop(waiting.await) });
        while tasks.len() > 1 {
            tokio::task::yield_now().await;
        }
        go_on.send(()).unwrap();
        tasks.ended().await;
    });
}

#[test]
fn a_drain_is_seen_by_all_and_later() {
    run(async {
        let (trigger, drain) = Drain::new();
        assert!(!drain.is_started());
        let other = drain.clone();
        trigger.start();
        trigger.start();
        drain.started().await;
        other.started().await;
        assert!(other.is_started());
    });
}

/// Starts another task when it is dropped.
struct StartsMore(Tasks);

impl Drop for StartsMore {
    fn drop(&mut self) {
        self.0.spawn("late", std::future::pending());
    }
}

#[test]
fn what_starts_after_the_deadline_is_aborted() {
    run(async {
        let tasks = Tasks::new();
        let more = StartsMore(tasks.clone());
        tasks.spawn("stuck", async move {
            let _more = more;
            std::future::pending().await
        });
        assert_eq!(tasks.drain(Duration::from_secs(1)).await.aborted, ["stuck"]);
        assert!(tasks.is_empty());
    });
}

#[test]
fn a_runtime_that_shuts_down_does_not_lock_up() {
    let tasks = Tasks::new();
    let more = StartsMore(tasks.clone());
    run(async {
        tasks.spawn("stuck", async move {
            let _more = more;
            std::future::pending().await
        });
        tokio::task::yield_now().await;
    });
    assert!(tasks.is_empty());
}
