#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use codec::client;
use http::Request;
use tokio::net::TcpListener;

use super::{AdminAnswer, AdminReply, AdminRequest, serve, serve_with};
use crate::Drain;
use crate::local::{LocalListener, SocketAccess};

#[test]
fn idle_callers_keep_nobody_out_and_hold_up_no_drain() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, drain) = Drain::new();
        let handler = Arc::new(|_: &AdminRequest<'_>| AdminReply::text(200, "ok").into());
        let serving = tokio::spawn(serve(listener, handler, drain));
        let mut idle = Vec::new();
        for _ in 0..2 * super::CONNECTIONS_MAX {
            idle.push(tokio::net::TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(client::get(address, "/ready").await.unwrap().status(), 200);
        trigger.start();
        serving.await.unwrap().unwrap();
        drop(idle);
    });
}

#[test]
fn it_answers_and_drains_on_a_runtime_with_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, drain) = Drain::new();
        let handler = Arc::new(|request: &AdminRequest<'_>| match request.path {
            "/ready" => AdminReply::text(200, format!("{} {:?}", request.method, request.query)).into(),
            _ => AdminReply::not_found().into(),
        });
        let serving = tokio::spawn(serve(listener, handler, drain));
        let reply = client::get(address, "/ready?x=1").await.unwrap();
        assert_eq!((reply.status().as_u16(), &reply.body()[..]), (200, &b"GET Some(\"x=1\")"[..]));
        assert_eq!(client::get(address, "/").await.unwrap().status(), 404);
        for (name, value, expected) in [
            ("origin", "https://page.example", 403),
            ("origin", "null", 403),
            ("host", "rebound.example:15000", 421),
            ("host", "localhost:15000", 200),
            ("sec-fetch-site", "cross-site", 403),
            ("sec-fetch-site", "same-site", 403),
            ("sec-fetch-site", "none", 200),
        ] {
            let request = Request::post("/ready").header(name, value).body(Bytes::new()).unwrap();
            let reply = client::send(address, request, client::Limits::default()).await.unwrap();
            assert_eq!(reply.status(), expected, "{name}: {value}");
        }
        trigger.start();
        serving.await.unwrap().unwrap();
        assert!(client::get(address, "/ready").await.is_err());
    });
}

/// Runs `script` as `nobody`: what it prints, or nothing where we may not become somebody else.
fn as_nobody(script: String) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let mut bash = std::process::Command::new("bash");
    let output = bash.args(["-c", &script]).uid(65_534).gid(65_534).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn only_root_and_the_own_user_change_something() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, drain) = Drain::new();
        let changes = Arc::new(AtomicUsize::new(0));
        let changed = Arc::clone(&changes);
        let handler = Arc::new(move |request: &AdminRequest<'_>| match request.path {
            "/drain_listeners" => {
                let changed = Arc::clone(&changed);
                AdminAnswer::Change(Box::new(move || {
                    changed.fetch_add(1, Ordering::Relaxed);
                    AdminReply::text(200, "done")
                }))
            }
            _ => AdminReply::not_found().into(),
        });
        let serving = tokio::spawn(serve(listener, handler, drain));
        let ours = Request::post("/drain_listeners").body(Bytes::new()).unwrap();
        assert_eq!(client::send(address, ours, client::Limits::default()).await.unwrap().status(), 200);
        assert_eq!(changes.load(Ordering::Relaxed), 1);
        for (method, path, expected) in [
            ("GET", "drain_listeners", "405"),
            ("POST", "drain_listeners", "403"),
            ("PUT", "drain_listeners", "403"),
            ("DELETE", "drain_listeners", "403"),
            // Nothing would change, so nobody is looked up.
            ("POST", "nothing", "404"),
        ] {
            let script = format!(
                "exec 3<>/dev/tcp/127.0.0.1/{}; \
                 printf '{method} /{path} HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 0\\r\\n\\r\\n' >&3; \
                 read -r _ status _ <&3; echo -n $status",
                address.port()
            );
            let status = tokio::task::spawn_blocking(move || as_nobody(script)).await.unwrap();
            assert!(status.is_none_or(|status| status == expected), "{method} /{path}");
        }
        assert_eq!(changes.load(Ordering::Relaxed), 1, "nothing was changed by anybody else");
        trigger.start();
        serving.await.unwrap().unwrap();
    });
}

/// Who waits to be looked up, be it for ever, holds up neither those who read nor what changes nothing.
#[test]
fn a_look_up_keeps_nobody_else_out() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, drain) = Drain::new();
        let asked = Arc::new(tokio::sync::Notify::new());
        let telling = Arc::clone(&asked);
        let handler = Arc::new(move |request: &AdminRequest<'_>| match request.path {
            "/drain_listeners" => {
                telling.notify_one();
                AdminAnswer::Change(Box::new(|| AdminReply::text(200, "done")))
            }
            _ => AdminReply::not_found().into(),
        });
        let look_ups = Arc::new(tokio::sync::Semaphore::new(1));
        let busy = Arc::clone(&look_ups).acquire_owned().await.unwrap();
        let serving = tokio::spawn(serve_with(listener.into(), handler, drain, look_ups));
        let post = |path: &str| {
            let request = Request::post(path).body(Bytes::new()).unwrap();
            client::send(address, request, client::Limits::default())
        };
        let waiting = tokio::spawn(post("/drain_listeners"));
        asked.notified().await;
        assert_eq!(client::get(address, "/").await.unwrap().status(), 404);
        assert_eq!(post("/nothing").await.unwrap().status(), 404);
        assert!(!waiting.is_finished());
        drop(busy);
        assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
        trigger.start();
        serving.await.unwrap().unwrap();
    });
}

/// The turn ends with the look-up: a caller who has gone leaves nothing that another could queue behind.
#[test]
fn a_look_up_of_one_who_is_gone_keeps_its_turn() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_near, far) =
            tokio::join!(tokio::net::TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let caller = super::AdminStream::Tcp(far.unwrap().0).caller();
        let look_ups = Arc::new(tokio::sync::Semaphore::new(1));
        let (release, released) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || released.recv());
        let mut asking = Box::pin(super::uid(caller, &look_ups));
        let is_waiting = std::future::poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx).is_pending()));
        assert!(is_waiting.await);
        drop(asking);
        assert_eq!(look_ups.available_permits(), 0, "it is still in the queue");
        drop(release);
        assert!(busy.await.unwrap().is_err());
        let turn = look_ups.acquire().await.unwrap();
        drop(turn);
    });
}

/// On a Unix socket reading is for those who may open it, and no look-up is needed to know who calls.
#[test]
fn a_unix_socket_is_for_its_owner_and_root() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("proxy.sock");
        let listener = LocalListener::bind(&path, SocketAccess::Owner).await.unwrap();
        let (trigger, drain) = Drain::new();
        let handler = Arc::new(|request: &AdminRequest<'_>| match request.path {
            "/drain_listeners" => AdminAnswer::Change(Box::new(|| AdminReply::text(200, "done"))),
            _ => AdminReply::text(200, "read").into(),
        });
        // Whoever would look up a caller waits for ever.
        let look_ups = Arc::new(tokio::sync::Semaphore::new(0));
        let serving = tokio::spawn(serve_with(listener.into(), handler, drain, look_ups));
        for (request, expected) in [
            (Request::get("/ready"), 200),
            (Request::get("/ready").header("host", "rebound.example"), 200),
            (Request::post("/ready").header("origin", "https://page.example"), 403),
            (Request::get("/drain_listeners"), 405),
            (Request::post("/drain_listeners"), 200),
        ] {
            let request = request.body(Bytes::new()).unwrap();
            let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
            let reply = client::send_over(stream, request, client::Limits::default()).await.unwrap();
            assert_eq!(reply.status(), expected);
        }
        let script = format!("curl -s --unix-socket {} http://localhost/ready; echo $?", path.display());
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let told = tokio::task::spawn_blocking(move || as_nobody(script)).await.unwrap();
        assert!(told.is_none_or(|told| told.trim() != "read0" && !told.contains("read")), "others read it");
        trigger.start();
        serving.await.unwrap().unwrap();
        assert!(!path.exists());
    });
}
