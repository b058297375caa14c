#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::frame::FRAME_BYTES_MAX;
use super::serve::{Grant, Granting, Holder, Lifetimes, SigningRefusal, Wish, serve};
use super::socket::SocketIssuer;
use super::unix::UnixIssuer;
use super::{CertificateRequest, IssueError, IssuerOptions, OpenError, RefusalCode, RootIssuer, open};
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

fn holder() -> Holder {
    let root = Root::generate(domain(), Duration::from_secs(3600)).unwrap();
    Holder { root, lifetimes: LIVES }
}

fn request(csr: &[u8]) -> CertificateRequest<'_> {
    CertificateRequest { csr, caller: None }
}

/// What one asker gets from a holder who granted `grants`.
async fn asking<T>(holder: &Holder, grants: &[Grant], ask: impl AsyncFnOnce(&SocketIssuer) -> T) -> T {
    let (near, far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    tokio::select! {
        answer = ask(&issuer) => answer,
        ended = serve(far, holder, grants) => panic!("the holder ended: {ended:?}"),
    }
}

#[tokio::test]
async fn a_granted_intermediate_signs() {
    let holder = holder();
    let grants =
        [Grant::Intermediate { trust_domain: domain(), cluster: "west".into() }, Grant::Leaf(control())];
    asking(&holder, &grants, async |issuer| {
        let key = Key::generate().unwrap();
        let issued = issuer.sign_intermediate("west", request(&key.csr().unwrap())).await.unwrap();
        assert_eq!((issued.id, issued.bundles), (None, vec![holder.root.bundle()]));
        let signer = Signer::new(issued.trust_domain, key, issued.chain).unwrap();
        assert_eq!(signer.root(), holder.root.der());

        let key = Key::generate().unwrap();
        let issued = issuer.sign_leaf(request(&key.csr().unwrap())).await.unwrap();
        assert_eq!(issued.id, Some(control()));
        assert_eq!(Svid::new(key, issued.chain).unwrap().id, control());
    })
    .await;
}

#[tokio::test]
async fn what_was_not_granted_is_refused_and_the_stream_goes_on() {
    let holder = holder();
    asking(&holder, &[Grant::Leaf(control())], async |issuer| {
        let csr = Key::generate().unwrap().csr().unwrap();
        assert!(matches!(
            issuer.sign_intermediate("west", request(&csr)).await,
            Err(IssueError::Refused { code: RefusalCode::NotGranted, .. })
        ));
        assert!(matches!(
            issuer.sign_leaf(request(b"junk")).await,
            Err(IssueError::Refused { code: RefusalCode::Request, .. })
        ));
        assert!(issuer.sign_leaf(request(&csr)).await.is_ok());
    })
    .await;
    let other = TrustDomain::parse("b.test").unwrap();
    let foreign = [Grant::Intermediate { trust_domain: other, cluster: "west".into() }];
    asking(&holder, &foreign, async |issuer| {
        let csr = Key::generate().unwrap().csr().unwrap();
        assert!(matches!(
            issuer.sign_intermediate("west", request(&csr)).await,
            Err(IssueError::Refused { code: RefusalCode::NotGranted, .. })
        ));
    })
    .await;
}

#[tokio::test]
async fn a_holder_that_went_away_is_an_error_now_and_later() {
    let (near, far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    drop(far);
    for _ in 0..2 {
        assert!(matches!(issuer.sign_leaf(request(b"x")).await, Err(IssueError::Stream(_))));
    }
}

#[tokio::test]
async fn frames_are_limited_both_ways() {
    let holder = holder();
    let (mut near, far) = UnixStream::pair().unwrap();
    let asking = async {
        near.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        near.read(&mut [0; 1]).await
    };
    let (ended, _) = tokio::join!(serve(far, &holder, [].as_slice()), asking);
    assert!(ended.is_err());

    let (near, mut far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    let answering = async {
        let _ = far.read(&mut [0; 64]).await;
        far.write_all(&((FRAME_BYTES_MAX + 1) as u32).to_be_bytes()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(issuer.sign_leaf(request(b"x")), answering);
    assert!(matches!(answer, Err(IssueError::Stream(_))));
}

#[tokio::test]
async fn the_holder_ends_when_the_stream_does() {
    let (near, far) = UnixStream::pair().unwrap();
    drop(near);
    assert!(serve(far, &holder(), [].as_slice()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_late_or_unwanted_costs_nothing_later() {
    let holder = holder();
    let (near, far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    let csr = |key: &Key| key.csr().unwrap();
    // The holder sleeps: one caller runs into the time-out, another gives up.
    let (first, second, third) =
        (Key::generate().unwrap(), Key::generate().unwrap(), Key::generate().unwrap());
    assert!(matches!(issuer.sign_leaf(request(&csr(&first))).await, Err(IssueError::Silent(_))));
    let second = csr(&second);
    let gave_up = tokio::time::timeout(Duration::from_secs(1), issuer.sign_leaf(request(&second)));
    assert!(gave_up.await.is_err());
    // It wakes up and answers all of them.
    let grants = [Grant::Leaf(control())];
    let issued = tokio::select! {
        issued = async { issuer.sign_leaf(request(&csr(&third))).await } => issued.unwrap(),
        ended = serve(far, &holder, grants.as_slice()) => panic!("the holder ended: {ended:?}"),
    };
    assert!(Svid::new(third, issued.chain).is_ok(), "somebody else's answer");
}

#[tokio::test(start_paused = true)]
async fn half_a_question_and_half_an_answer_are_finished_later() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let issuer = SocketIssuer::new(near);
    let ask =
        |text: &'static [u8]| tokio::time::timeout(Duration::from_secs(1), issuer.sign_leaf(request(text)));
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

/// What one asker at a Unix socket gets from a holder that does `act` with the stream.
async fn at_unix(act: impl AsyncFnOnce(UnixStream)) -> Result<super::Issued, IssueError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let issuer = UnixIssuer::new(path);
    let csr = Key::generate().unwrap().csr().unwrap();
    let holder = async {
        let (stream, _) = listener.accept().await.unwrap();
        act(stream).await;
    };
    tokio::select! {
        biased;
        issued = issuer.sign_intermediate("west", request(&csr)) => issued,
        () = async { holder.await; std::future::pending().await } => panic!("it goes on"),
    }
}

fn framed(json: &str) -> Vec<u8> {
    [&(json.len() as u32).to_be_bytes(), json.as_bytes()].concat()
}

/// Reads the question whole, so that nothing is lost when the stream closes, and answers so.
async fn answering(bytes: Vec<u8>) -> Result<super::Issued, IssueError> {
    at_unix(async |mut stream| {
        super::frame::receive(&mut stream).await.unwrap().unwrap();
        stream.write_all(&bytes).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn a_unix_socket_is_asked_anew_each_time_and_a_holder_that_is_away_is_named() {
    let holder = holder();
    let grants = [Grant::Intermediate { trust_domain: domain(), cluster: "west".into() }];
    let issued = at_unix(async |stream| serve(stream, &holder, grants.as_slice()).await.unwrap()).await;
    assert_eq!(issued.unwrap().bundles, [holder.root.bundle()]);
    let nowhere = UnixIssuer::new("/nowhere/root.sock".into());
    let error = nowhere.sign_leaf(request(b"x")).await.unwrap_err();
    assert_eq!(error.to_string(), "reach the holder of the root at unix:/nowhere/root.sock");
}

#[tokio::test(start_paused = true)]
async fn a_hostile_holder_is_an_error_and_no_more() {
    let silent = at_unix(async |stream| {
        let kept = stream;
        std::future::pending::<()>().await;
        drop(kept);
    });
    assert!(matches!(silent.await, Err(IssueError::Silent(_))));
    let slow = at_unix(async |mut stream| {
        // One byte a second of an answer that would be good for minutes.
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        for byte in framed(&" ".repeat(1000)) {
            seconds.tick().await;
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    assert!(matches!(slow.await, Err(IssueError::Silent(_))));
    let is_stream = |answer| matches!(answer, Err(IssueError::Stream(_)));
    assert!(is_stream(answering(Vec::new()).await));
    assert!(is_stream(answering(vec![0, 0, 0, 9, b'{']).await));
    assert!(is_stream(answering(u32::MAX.to_be_bytes().to_vec()).await));
    let malformed = [
        "",
        "nonsense",
        "[]",
        r#"{"number":7,"trust_domain":"a.test"}"#,
        r#"{"number":1}"#,
        r#"{"number":1,"trust_domain":"A B"}"#,
        r#"{"number":1,"trust_domain":"a.test","chain":["*"]}"#,
        r#"{"number":1,"trust_domain":"a.test","id":"http://x"}"#,
        r#"{"number":1,"trust_domain":"a.test","bundles":[{"trust_domain":"","roots":[]}]}"#,
    ];
    for json in malformed {
        let answer = answering(framed(json)).await;
        assert!(matches!(answer, Err(IssueError::Malformed(_))), "{json}: {answer:?}");
    }
    // A code of later versions is a refusal like any other.
    let refused = answering(framed(r#"{"error":"come at noon","code":"closed"}"#)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the holder of the root refused: come at noon");
}

/// Grants nothing, and keeps what was wished.
struct Nobody;

impl Granting for Nobody {
    fn who(&self) -> String {
        "nobody".into()
    }

    fn grant(&self, wish: Wish<'_>) -> Result<Grant, SigningRefusal> {
        Err(SigningRefusal::new(RefusalCode::NotGranted, format!("{:?}", wish.certificate)))
    }
}

/// What a holder answers to a question.
async fn asked(json: &str) -> String {
    let (mut near, far) = UnixStream::pair().unwrap();
    near.write_all(&framed(json)).await.unwrap();
    near.shutdown().await.unwrap();
    // What is no question ends the stream, after an answer.
    let _ = serve(far, &holder(), &Nobody).await;
    let answer = super::frame::receive(&mut near).await.unwrap().unwrap();
    let answer: super::frame::SignAnswer = super::frame::read(&answer).unwrap();
    format!("{} {:?}: {}", answer.number, answer.code.unwrap(), answer.error.unwrap())
}

#[tokio::test]
async fn a_bad_question_is_told_what_is_wrong() {
    use base64::Engine;
    let csr = Key::generate().unwrap().csr().unwrap();
    let csr = base64::engine::general_purpose::STANDARD.encode(csr);
    let good = |more: &str| format!(r#"{{"number":3,"kind":"intermediate","csr":"{csr}"{more}}}"#);
    let cases = [
        (good(""), "3 NotGranted: Intermediate(None)"),
        (good(r#","cluster":"west","later":[1]"#), r#"3 NotGranted: Intermediate(Some("west"))"#),
        (good(r#","version":1"#), "3 NotGranted: Intermediate(None)"),
        (good(r#","version":2"#), "3 Version: version 2 of the protocol; 1 is known here"),
        (r#"{"kind":"leaf","csr":"*"}"#.into(), "0 Request: request is not base64"),
        (r#"{"kind":"leaf","csr":"AAAA"}"#.into(), "0 Request: unusable certificate signing request"),
        (r#"{"kind":"root","csr":""}"#.into(), "0 Malformed: a kind of question that is not known here"),
    ];
    for (question, answer) in cases {
        assert_eq!(asked(&question).await, answer, "{question}");
    }
    for nonsense in ["", "{}", "[]", "GET / HTTP/1.1"] {
        let answer = asked(nonsense).await;
        assert!(answer.starts_with("0 Malformed: not a question of the issuer's protocol"), "{answer}");
    }
}

#[tokio::test]
async fn an_issuer_is_given_by_its_address() {
    let given = |address: &str| {
        let options = IssuerOptions { issuer: Some(address.into()), ..IssuerOptions::default() };
        open(&options).map(drop)
    };
    assert!(matches!(open(&IssuerOptions::default()), Err(OpenError::NotGiven)));
    let missing = OpenError::NotGiven.to_string();
    assert!(missing.contains("`leno root --listen ") && missing.contains("`--issuer unix:"), "{missing}");
    assert!(given("unix:/run/leno/root.sock").is_ok());
    for address in ["", "unix:", "unix:root.sock", "/run/leno/root.sock", "http://127.0.0.1"] {
        let error = given(address).unwrap_err();
        assert!(matches!(error, OpenError::Address { .. }), "{address}: {error}");
    }
    let mut options = IssuerOptions::default();
    for fd in [-1, 1, i32::MAX] {
        options.socket.issuer_fd = Some(fd);
        assert!(matches!(open(&options), Err(OpenError::Socket { .. })), "{fd}");
    }
}
