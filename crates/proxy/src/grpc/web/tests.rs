#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Bodies of gRPC-Web, piece by piece.

use super::{body, to_grpc};
use crate::testing::Pieces;
use codec::Body;
use decide::grpc::web::WebForm;
use http::{HeaderMap, HeaderValue};
use std::cell::Cell;
use std::rc::Rc;

/// What becomes of a request in base64 that comes in these pieces, each by itself; `None`: it is none.
async fn decoded(pieces: &[&str]) -> Option<Vec<String>> {
    let is_garbage = Rc::new(Cell::new(false));
    let tells = Rc::clone(&is_garbage);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc-web-text"));
    headers.insert("content-length", HeaderValue::from_static("99"));
    let body = Body::boxed(Pieces::new(pieces, None));
    let mut body = to_grpc(&mut headers, body, WebForm::Text, move || tells.set(true));
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["te"], "trailers");
    assert!(!headers.contains_key("content-length"));
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            assert!(is_garbage.get());
            return None;
        };
        all.push(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap());
    }
    Some(all)
}

#[tokio::test]
async fn base64_is_read_as_it_comes() {
    let check = async |pieces: &[&str], expected: Option<&[&str]>| {
        let expected = expected.map(|all| all.iter().map(|piece| (*piece).to_owned()).collect::<Vec<_>>());
        assert_eq!(decoded(pieces).await, expected, "{pieces:?}");
    };
    check(&["YWJj", "ZGVm"], Some(&["abc", "def"])).await;
    check(&["YW", "Jj", "ZGVmZ", "w=="], Some(&["abc", "def", "g"])).await;
    // Each piece of who writes may have its padding.
    check(&["YQ==YmM=ZGVm"], Some(&["abcdef"])).await;
    check(&[], Some(&[])).await;
    check(&["YWJ"], None).await;
    check(&["YW%j"], None).await;
    check(&["YQ=a"], None).await;
}

#[tokio::test]
async fn trailers_become_the_last_frame() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("a", HeaderValue::from_static("b"));
    let answer = || Body::boxed(Pieces::new(&["abc"], Some(trailers.clone())));
    let bytes = body(answer(), WebForm::Binary).collect(1000).await.unwrap();
    assert_eq!(&bytes[..], b"abc\x80\0\0\0\x14grpc-status:0\r\na:b\r\n");
    let bytes = body(answer(), WebForm::Text).collect(1000).await.unwrap();
    assert_eq!(&bytes[..], b"YWJjgAAAABRncnBjLXN0YXR1czowDQphOmINCg==");
}
