#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::frame::FRAME_BYTES_MAX;
use super::serve::{Grant, Lifetimes, serve};
use super::socket::SocketIssuer;
use super::{IssueError, IssuerOptions, OpenError, RootIssuer, open};
use crate::{Root, Signer};
use identity::{Key, Svid};
use model::{SpiffeId, TrustDomain};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const LIVES: Lifetimes = Lifetimes { intermediate: Duration::from_secs(600), leaf: Duration::from_secs(600) };

fn domain() -> TrustDomain {
    TrustDomain::parse("a.test").unwrap()
}

fn control() -> SpiffeId {
    SpiffeId::parse("spiffe://a.test/ns/leno-system/sa/control").unwrap()
}

fn root() -> Root {
    Root::generate(domain(), Duration::from_secs(3600)).unwrap()
}

/// What one asker gets from a holder who granted `grants`.
async fn asking<T>(root: &Root, grants: &[Grant], ask: impl AsyncFnOnce(&SocketIssuer) -> T) -> T {
    let (near, far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    tokio::select! {
        answer = ask(&issuer) => answer,
        ended = serve(far, root, grants, LIVES, Vec::new) => panic!("the holder ended: {ended:?}"),
    }
}

#[tokio::test]
async fn a_granted_intermediate_signs() {
    let root = root();
    let grants =
        [Grant::Intermediate { trust_domain: domain(), cluster: "west".into() }, Grant::Leaf(control())];
    asking(&root, &grants, async |issuer| {
        let key = Key::generate().unwrap();
        let issued = issuer.sign_intermediate(&key.csr().unwrap()).await.unwrap();
        assert_eq!((issued.id, issued.bundles), (None, vec![root.bundle()]));
        let signer = Signer::new(issued.trust_domain, key, issued.chain).unwrap();
        assert_eq!(signer.root(), root.der());

        let key = Key::generate().unwrap();
        let issued = issuer.sign_leaf(&key.csr().unwrap()).await.unwrap();
        assert_eq!(issued.id, Some(control()));
        assert_eq!(Svid::new(key, issued.chain).unwrap().id, control());
    })
    .await;
}

#[tokio::test]
async fn what_was_not_granted_is_refused_and_the_stream_goes_on() {
    let root = root();
    asking(&root, &[Grant::Leaf(control())], async |issuer| {
        let csr = Key::generate().unwrap().csr().unwrap();
        assert!(matches!(issuer.sign_intermediate(&csr).await, Err(IssueError::Refused(_))));
        assert!(matches!(issuer.sign_leaf(b"junk").await, Err(IssueError::Refused(_))));
        assert!(issuer.sign_leaf(&csr).await.is_ok());
    })
    .await;
    let other = TrustDomain::parse("b.test").unwrap();
    let foreign = [Grant::Intermediate { trust_domain: other, cluster: "west".into() }];
    asking(&root, &foreign, async |issuer| {
        let csr = Key::generate().unwrap().csr().unwrap();
        assert!(matches!(issuer.sign_intermediate(&csr).await, Err(IssueError::Refused(_))));
    })
    .await;
}

#[tokio::test]
async fn a_holder_that_went_away_is_an_error_now_and_later() {
    let (near, far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    drop(far);
    for _ in 0..2 {
        assert!(matches!(issuer.sign_leaf(b"x").await, Err(IssueError::Stream(_))));
    }
}

#[tokio::test]
async fn frames_are_limited_both_ways() {
    let root = root();
    let (mut near, far) = UnixStream::pair().unwrap();
    let asking = async {
        near.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        near.read(&mut [0; 1]).await
    };
    let (ended, _) = tokio::join!(serve(far, &root, &[], LIVES, Vec::new), asking);
    assert!(ended.is_err());

    let (near, mut far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    let answering = async {
        let _ = far.read(&mut [0; 64]).await;
        far.write_all(&((FRAME_BYTES_MAX + 1) as u32).to_be_bytes()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(issuer.sign_leaf(b"x"), answering);
    assert!(matches!(answer, Err(IssueError::Stream(_))));
}

#[tokio::test]
async fn the_holder_ends_when_the_stream_does() {
    let (near, far) = UnixStream::pair().unwrap();
    drop(near);
    assert!(serve(far, &root(), &[], LIVES, Vec::new).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_late_or_unwanted_costs_nothing_later() {
    let root = root();
    let (near, far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    let csr = |key: &Key| key.csr().unwrap();
    // The holder sleeps: one caller runs into the time-out, another gives up.
    let (first, second, third) =
        (Key::generate().unwrap(), Key::generate().unwrap(), Key::generate().unwrap());
    assert!(matches!(issuer.sign_leaf(&csr(&first)).await, Err(IssueError::Stream(_))));
    let request = csr(&second);
    let gave_up = tokio::time::timeout(Duration::from_secs(1), issuer.sign_leaf(&request));
    assert!(gave_up.await.is_err());
    // It wakes up and answers all of them.
    let grants = [Grant::Leaf(control())];
    let issued = tokio::select! {
        issued = async { issuer.sign_leaf(&csr(&third)).await } => issued.unwrap(),
        ended = serve(far, &root, &grants, LIVES, Vec::new) => panic!("the holder ended: {ended:?}"),
    };
    assert!(Svid::new(third, issued.chain).is_ok(), "somebody else's answer");
}

#[tokio::test(start_paused = true)]
async fn half_a_question_and_half_an_answer_are_finished_later() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    let ask = |text: &'static [u8]| tokio::time::timeout(Duration::from_secs(1), issuer.sign_leaf(text));
    let answer = |number: u64| {
        let json = format!("{{\"number\":{number},\"error\":\"no {number}\"}}").into_bytes();
        [(json.len() as u32).to_be_bytes().to_vec(), json].concat()
    };
    assert!(ask(b"1").await.is_err());
    let late = answer(1);
    far.write_all(&late[..7]).await.unwrap();
    assert!(ask(b"2").await.is_err());
    far.write_all(&late[7..]).await.unwrap();
    far.write_all(&answer(2)).await.unwrap();
    far.write_all(&answer(3)).await.unwrap();
    let third = ask(b"3").await.unwrap().unwrap_err();
    assert_eq!(third.to_string(), "the holder of the root refused: no 3");
}

#[test]
fn one_issuer_is_given() {
    assert!(matches!(open(&IssuerOptions::default()), Err(OpenError::NotGiven)));
    let mut options = IssuerOptions::default();
    for fd in [-1, i32::MAX] {
        options.socket.issuer_fd = Some(fd);
        assert!(matches!(open(&options), Err(OpenError::Socket { .. })), "{fd}");
    }
}
