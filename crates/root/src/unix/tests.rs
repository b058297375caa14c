#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{BoundSocket, LocalDoor, LocalListenError};
use crate::limits::CONNECTIONS_MAX;
use crate::local::AllowedUsers;
use ca::issuer::serve::{Holder, Lifetimes};
use ca::issuer::unix::UnixIssuer;
use ca::{CertificateRequest, IssueError, RefusalCode, Root, RootIssuer};
use daemon::{Drain, Tasks};
use identity::Key;
use model::TrustDomain;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;

const HOUR: Duration = Duration::from_secs(3600);

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("run/root.sock")
    }

    fn mode(&self) -> u32 {
        std::fs::metadata(self.path()).unwrap().permissions().mode() & 0o777
    }
}

fn holder() -> Arc<Holder> {
    let root = Root::generate(TrustDomain::parse("a.test").unwrap(), HOUR).unwrap();
    Arc::new(Holder { root, lifetimes: Lifetimes { intermediate: HOUR, leaf: HOUR } })
}

#[tokio::test]
async fn a_socket_is_its_owner_s_alone_and_goes_with_it() {
    let bench = Bench::new();
    let bound = BoundSocket::bind(&bench.path(), false).await.unwrap();
    assert_eq!(bench.mode(), 0o600);
    assert!(matches!(BoundSocket::bind(&bench.path(), false).await, Err(LocalListenError::InUse(_))));
    drop(bound);
    assert!(!bench.path().exists());
    let shared = BoundSocket::bind(&bench.path(), true).await.unwrap();
    assert_eq!(bench.mode(), 0o666);
    drop(shared);

    // What a killed process left is replaced; what is no socket is not.
    drop(std::os::unix::net::UnixListener::bind(bench.path()).unwrap());
    assert!(bench.path().exists());
    drop(BoundSocket::bind(&bench.path(), false).await.unwrap());
    std::fs::write(bench.path(), "mine").unwrap();
    assert!(matches!(BoundSocket::bind(&bench.path(), false).await, Err(LocalListenError::NotSocket(_))));
    assert_eq!(std::fs::read(bench.path()).unwrap(), b"mine");
}

#[tokio::test]
async fn who_is_allowed_is_served_within_the_limits() {
    let bench = Bench::new();
    let (trigger, drain) = Drain::new();
    let (tasks, holder) = (Tasks::new(), holder());
    let bound = BoundSocket::bind(&bench.path(), false).await.unwrap();
    let door = LocalDoor { holder: holder.clone(), allowed: AllowedUsers::new(&[]), grants: Arc::default() };
    let serving = bound.serve(door, tasks.clone(), drain);
    let serving = tokio::spawn(serving);
    let issuer = UnixIssuer::new(bench.path());
    let csr = Key::generate().unwrap().csr().unwrap();
    let request = CertificateRequest { csr: &csr, caller: None };
    let issued = issuer.sign_intermediate("west", request).await.unwrap();
    assert_eq!(identity::cluster(&issued.chain[0]).as_deref(), Some("west"));
    assert_eq!(issued.bundles, [holder.root.bundle()]);
    let leaf = issuer.sign_leaf(request).await.unwrap();
    assert_eq!(leaf.id.unwrap().to_string(), "spiffe://a.test/ns/leno-system/sa/manager");

    // Whoever only holds connections is told so, and keeps nobody out for good.
    let mut held = Vec::new();
    let refused = loop {
        match issuer.sign_leaf(request).await {
            Ok(_) => held.push(UnixStream::connect(bench.path()).await.unwrap()),
            Err(IssueError::Refused { code: RefusalCode::TooMany, reason }) => break reason,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(refused.starts_with("too many questions"), "{refused}");
    while held.len() < CONNECTIONS_MAX {
        held.push(UnixStream::connect(bench.path()).await.unwrap());
    }
    let refused = issuer.sign_leaf(request).await.unwrap_err().to_string();
    assert!(refused.contains("64 connections are open"), "{refused}");
    drop(held);
    trigger.start();
    serving.await.unwrap();
    assert!(!bench.path().exists(), "a stop takes the socket away");
}
