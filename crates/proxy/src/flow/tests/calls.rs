//! Calls of gRPC at a gateway by the rules of a GRPCRoute, over HTTP/2.

use super::bed::{Proxy, endpoints, fresh_ip, plain, service, story};
use super::edge::{edge, rule};
use super::upstream::grpc;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use model::ObjectRef;
use model::route::{GrpcMethodMatch, PathMatch, RouteMatch, RouteRule};
use model::service::Protocol;
use std::net::SocketAddr;

/// A rule for calls of a service, and of all services if none is named.
fn call_rule(index: u32, service: Option<&str>) -> RouteRule {
    let method = GrpcMethodMatch::Exact { service: service.map(Into::into), method: None };
    let mut rule = rule(index, "");
    rule.origin.object = ObjectRef::new("GRPCRoute", "default", "calls");
    rule.matches = vec![RouteMatch { path: PathMatch::Grpc(Box::new(method)), ..RouteMatch::default() }];
    rule
}

/// What came back: head, body and trailers; none where the head was all.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

async fn call(proxy: &Proxy, path: &str, content_type: &str) -> Answer {
    let (sender, connection) = h2::client::handshake(proxy.enter_raw()).await.unwrap();
    tokio::task::spawn_local(connection);
    let request = Request::post(format!("http://a{path}")).header("content-type", content_type);
    let mut sender = sender.ready().await.unwrap();
    let (response, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(b"\0\0\0\0\0"), true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.unwrap();
    Answer { status: head.status, headers: head.headers, body: bytes, trailers }
}

impl Answer {
    /// The status of an answer of trailers alone.
    fn refused_by(&self) -> &str {
        assert_eq!((self.status, self.body.len()), (StatusCode::OK, 0), "{:?}", self.headers);
        assert!(self.trailers.is_none(), "it is in the head");
        self.headers["grpc-status"].to_str().unwrap()
    }
}

fn gateway(rules: Vec<RouteRule>, backend: SocketAddr) -> Proxy {
    let proxy = edge(rules, &[]);
    proxy.apply(vec![service(Protocol::Http2), endpoints(vec![plain(backend)])]);
    proxy
}

const GRPC: &str = "application/grpc+proto";

#[test]
fn a_call_follows_its_rule_and_its_status_comes_in_trailers() {
    story(async {
        let proxy = gateway(vec![call_rule(0, Some("shop.Cart"))], grpc(&[("grpc-status", "5")]));
        let answer = call(&proxy, "/shop.Cart/Get", GRPC).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"x"[..]));
        assert_eq!(answer.trailers.unwrap()["grpc-status"], "5");
        assert_eq!(call(&proxy, "/shop.Other/Get", GRPC).await.refused_by(), "12");
        let answer = call(&proxy, "/shop.Cart/Get", "application/json").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "what is no gRPC is not matched");
    });
}

#[test]
fn an_undeclared_port_is_called_as_the_caller_speaks() {
    story(async {
        let proxy = gateway(vec![call_rule(0, None)], grpc(&[("grpc-status", "0")]));
        proxy.apply(vec![service(Protocol::Undeclared)]);
        assert_eq!(call(&proxy, "/a.B/C", GRPC).await.trailers.unwrap()["grpc-status"], "0");
    });
}

#[test]
fn what_fails_is_told_in_words_of_grpc() {
    story(async {
        let nobody = super::bed::Application::nobody(fresh_ip()).await;
        let mut lost = call_rule(1, Some("shop.Lost"));
        lost.backends[0].host = None;
        let mut none = call_rule(2, Some("shop.None"));
        none.backends.clear();
        let proxy = gateway(vec![call_rule(0, Some("shop.Down")), lost, none], nobody);
        for service in ["Down", "Lost", "None"] {
            assert_eq!(call(&proxy, &format!("/shop.{service}/Get"), GRPC).await.refused_by(), "14");
        }
    });
}

#[test]
fn an_http_route_that_is_shut_out_takes_nothing() {
    story(async {
        let mut pages = rule(0, "");
        pages.created_s = 2;
        let mut calls = call_rule(0, None);
        calls.created_s = 1;
        let proxy = gateway(vec![pages.clone()], grpc(&[("grpc-status", "0")]));
        assert_eq!(call(&proxy, "/a", "text/plain").await.status, StatusCode::OK);
        let key = model::ResourceKey::of_rule(&calls);
        proxy.apply(vec![(key, model::Resource::Rule(calls.into()))]);
        assert_eq!(call(&proxy, "/a", "text/plain").await.status, StatusCode::NOT_FOUND);
        assert_eq!(call(&proxy, "/a.B/C", GRPC).await.trailers.unwrap()["grpc-status"], "0");
    });
}
