#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Who asks name servers, and what is remembered of their answers.

use super::*;
use futures_util::future::join_all;
use std::cell::Cell;
use tokio::sync::Notify;
use tokio::time::advance;

fn cache() -> NameCache {
    // Nobody is asked there: each test answers itself.
    NameCache::new(Arc::new(Forwarder::new(vec!["127.0.0.1:1".parse().unwrap()])), |_| true)
}

fn name(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

fn answer() -> NameAnswer {
    NameAnswer::Addresses(vec!["192.0.2.1".parse().unwrap()], Duration::from_secs(60))
}

/// What is remembered, or asked for and answered so; and whether it was asked for.
async fn ask(cache: &NameCache, what: &str, answer: NameAnswer) -> (bool, bool) {
    let (host, asked) = (name(what), Cell::new(false));
    let found = cache.addresses_by(&host, || {
        asked.set(true);
        std::future::ready(answer)
    });
    (found.await.is_some(), asked.get())
}

#[tokio::test]
async fn a_query_in_flight_is_shared() {
    let (cache, asked, go) = (cache(), Cell::new(0), Notify::new());
    let host = name("a.example");
    let ask = || {
        cache.addresses_by(&host, || async {
            asked.set(asked.get() + 1);
            go.notified().await;
            answer()
        })
    };
    let all = join_all((0..100).map(|_| ask()));
    let answering = async {
        while asked.get() == 0 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
    };
    let (all, ()) = tokio::join!(all, answering);
    assert!(all.iter().all(Option::is_some));
    assert_eq!(asked.get(), 1);
}

#[tokio::test]
async fn who_waits_asks_when_who_asked_goes_away() {
    let cache = cache();
    let host = name("a.example");
    let mut first = Box::pin(cache.addresses_by(&host, std::future::pending::<NameAnswer>));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    let mut second = Box::pin(cache.addresses_by(&host, || std::future::ready(answer())));
    assert!(futures_util::poll!(second.as_mut()).is_pending(), "it waits for the first");
    drop(first);
    assert!(second.await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_a_second() {
    let cache = cache();
    assert_eq!(ask(&cache, "a.example", NameAnswer::Failed).await, (false, true));
    assert_eq!(ask(&cache, "a.example", answer()).await, (false, false));
    advance(Duration::from_millis(1001)).await;
    assert_eq!(ask(&cache, "a.example", answer()).await, (true, true));
    assert_eq!(ask(&cache, "a.example", NameAnswer::Failed).await, (true, false));
}

#[tokio::test]
async fn so_many_are_asked_at_once() {
    let cache = cache();
    let hosts: Vec<Hostname> = (0..ASKED_MAX).map(|index| name(&format!("n{index}.example"))).collect();
    let pending = |host| Box::pin(cache.addresses_by(host, std::future::pending::<NameAnswer>));
    let mut asking: Vec<_> = hosts.iter().map(pending).collect();
    for one in &mut asking {
        assert!(futures_util::poll!(one.as_mut()).is_pending());
    }
    assert_eq!(ask(&cache, "more.example", answer()).await, (false, false));
    asking.pop();
    assert_eq!(ask(&cache, "more.example", answer()).await, (true, true));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_makes_room() {
    let cache = cache();
    for index in 0..NAMES_MAX {
        assert!(ask(&cache, &format!("n{index}.example"), answer()).await.0);
        advance(Duration::from_micros(1)).await;
    }
    assert!(ask(&cache, "more.example", answer()).await.0);
    assert_eq!(ask(&cache, "n1.example", NameAnswer::Failed).await, (true, false));
    assert_eq!(ask(&cache, "n0.example", NameAnswer::Failed).await, (false, true), "it was forgotten");
    assert_eq!(cache.names().known.len(), NAMES_MAX);
}
