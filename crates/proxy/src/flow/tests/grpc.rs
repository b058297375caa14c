//! Calls of gRPC: how long they may take.

use super::bed::{Application, fresh_ip, story};
use super::edge::{edge, rule};
use crate::accept::listen;
use ::http::Request;
use codec::Body;
use model::Reason;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

fn call(path: &str, timeout: &str) -> Request<Body> {
    let call = Request::post(path).header("host", "a").header("content-type", "application/grpc");
    let call = call.header("te", "trailers").header("grpc-timeout", timeout);
    call.body(Body::full("message")).unwrap()
}

#[test]
fn a_call_ends_when_the_time_is_over_that_its_caller_gave_it() {
    story(async {
        // Whoever connects there is never answered.
        let silent = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
        let mut short = rule(1, "/short");
        short.request_timeout = Some(Duration::from_millis(30));
        let proxy = edge(vec![rule(0, "/"), short], &[silent.local_addr().unwrap()]);
        let mut caller = proxy.enter().await;
        for (path, asked) in [("/", "30m"), ("/short", "1H"), ("/", "1n")] {
            let response = caller.send(call(path, asked)).await;
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(response.headers()["grpc-status"], "4", "{path}");
            assert_eq!(response.headers()["content-type"], "application/grpc", "{path}");
        }
        let said: Vec<_> = proxy.logged().iter().map(|line| line["response_code_details"].clone()).collect();
        assert_eq!(said, ["grpc_timeout", "response_timeout", "grpc_timeout"]);
        assert_eq!(Reason::GrpcTimeout.row().flag, "UT");
    });
}

#[test]
fn what_is_left_of_it_is_told_to_the_backend() {
    story(async {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hears = Rc::clone(&heard);
        let application = Application::start(fresh_ip(), move |request| {
            let value = request.headers().get("grpc-timeout").map(|value| value.as_bytes().to_vec());
            hears.borrow_mut().push(value);
            ::http::Response::builder().header("grpc-status", "0").body(Body::empty()).unwrap()
        });
        let (mut limited, mut each) = (rule(1, "/limited"), rule(2, "/each"));
        limited.request_timeout = Some(Duration::from_secs(20));
        each.backend_timeout = Some(Duration::from_secs(10));
        let proxy = edge(vec![rule(0, "/"), limited, each], &[application.address]);
        let mut caller = proxy.enter().await;
        for (path, asked, most) in [("/", "30S", 30), ("/limited", "1H", 20), ("/each", "1M", 10)] {
            caller.send(call(path, asked)).await;
            let value = heard.borrow_mut().pop().flatten().unwrap();
            let left = decide::grpc::timeout(&value).unwrap();
            let most = Duration::from_secs(most);
            assert!(left < most && left > most - Duration::from_secs(10), "{path} {asked}: {left:?}");
        }
        // What has no meaning limits nothing, and goes on as it came.
        caller.send(call("/", "soon")).await;
        assert_eq!(heard.borrow_mut().pop(), Some(Some(b"soon".to_vec())));
        caller.send(call("/limited", "soon")).await;
        assert_ne!(heard.borrow_mut().pop(), Some(Some(b"soon".to_vec())));
        // Nor does what is not gRPC.
        let other = Request::get("/").header("host", "a").header("grpc-timeout", "1n");
        assert_eq!(caller.send(other.body(Body::empty()).unwrap()).await.status(), 200);
        assert_eq!(heard.borrow_mut().pop(), Some(Some(b"1n".to_vec())));
    });
}
