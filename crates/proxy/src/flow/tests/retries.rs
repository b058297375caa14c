//! How often a request goes again, and what the record says where it would have but may not.

use super::bed::{Application, fresh_ip, get, story};
use super::edge::{edge, rule};
use crate::accept::listen;
use codec::Body;
use decide::retry_budget::{BUDGET_PERCENT, BUDGET_RETRIES_PER_S_MIN, Budget};
use http::{Request, Response};
use model::Reason;
use model::route::RetryPolicy;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// A backend that takes a request and closes.
fn closer(taken: &Rc<Cell<u64>>) -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Rc::clone(taken);
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if stream.read(&mut [0; 4096]).await.is_ok_and(|len| len > 0) {
                taken.set(taken.get() + 1);
            }
        }
    });
    address
}

#[test]
fn a_service_that_fails_gets_little_more_than_its_load() {
    const GETS: u64 = 100;
    story(async {
        let taken = Rc::default();
        let backends = [closer(&taken), closer(&taken), closer(&taken)];
        let proxy = edge(vec![rule(0, "")], &backends);
        let mut caller = proxy.enter().await;
        let began_s = proxy.worker.uptime.now_ms() / 1000;
        for _ in 0..GETS {
            assert_eq!(caller.get("/").await.status(), 503);
        }
        // On a machine that takes its time there are few requests in each second.
        let seconds = proxy.worker.uptime.now_ms() / 1000 - began_s + 1;
        let again = (GETS * BUDGET_PERCENT / 100).max(seconds * BUDGET_RETRIES_PER_S_MIN);
        assert!(taken.get() <= GETS + again, "{} in {seconds} s", taken.get());
        let lines = proxy.logged();
        // The first ones are within the floor: each goes out three times.
        assert_eq!((&lines[0]["response_flags"], &lines[0]["attempts"]), (&"UC,URX".into(), &3.into()));
        assert_eq!(lines[0]["response_code_details"], "upstream_reset_before_response");
        let over = lines.iter().find(|line| line["response_flags"] == "UC,UO");
        assert!(over.is_some(), "{lines:?}");
        assert_eq!(Reason::RetryBudgetExhausted.row().flag, "UO");
    });
}

/// Refusing it would lose a request for nothing: no application had it, and another is there.
#[test]
fn what_nobody_had_goes_on_to_who_is_there_whatever_the_budget_says() {
    story(async {
        let (ip, taken) = (fresh_ip(), Rc::default());
        let proxy = edge(vec![rule(0, "")], &[closer(&taken)]);
        let mut caller = proxy.enter().await;
        while proxy.entry().retries.left(proxy.worker.uptime.now_ms()) == Budget::Left {
            caller.get("/").await;
        }
        assert!(taken.get() > BUDGET_RETRIES_PER_S_MIN);
        let (gone, shop) = (Application::nobody(ip).await, Application::named(ip, "shop"));
        proxy.apply(vec![super::bed::endpoints(vec![
            super::bed::plain(gone),
            super::bed::plain(shop.address),
        ])]);
        for _ in 0..20 {
            let request = Request::post("/").header("host", "a").body(Body::empty()).unwrap();
            assert_eq!(caller.send(request).await.body(), "shop");
        }
        let lines = proxy.logged();
        assert!(lines.iter().any(|line| line["attempts"] == 2), "it was not chosen once: {lines:?}");
    });
}

#[test]
fn an_answer_that_is_asked_for_once_more_says_when_that_was_the_last_time() {
    story(async {
        let shop = Application::start(fresh_ip(), |_| {
            Response::builder().status(503).body(Body::full("busy")).unwrap()
        });
        let mut again = rule(0, "");
        again.retry = Some(Box::new(RetryPolicy {
            attempts: 1,
            codes: vec![503],
            backoff: Duration::ZERO,
            ..RetryPolicy::default()
        }));
        let proxy = edge(vec![again], &[shop.address]);
        let response = proxy.enter().await.send(get("/")).await;
        assert_eq!((response.status().as_u16(), response.body().as_str()), (503, "busy"));
        let line = &proxy.logged()[0];
        assert_eq!((&line["response_flags"], &line["attempts"]), (&"URX".into(), &2.into()), "{line}");
        assert_eq!(line["response_code_details"], "retry_limit_exceeded", "{line}");
    });
}
