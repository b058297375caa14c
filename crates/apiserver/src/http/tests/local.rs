//! The API on Unix sockets, called by processes of several users, and what is listened on at all.

use super::*;
use crate::listen::ApiListenError;
use codec::client::{Limits, send_over};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Numbers that are nobody's here: users, and the group that may open the socket.
const VIEWER: u32 = 3_999_991;
const EDITOR: u32 = 3_999_992;
const ADMIN: u32 = 3_999_993;
const STRANGER: u32 = 3_999_994;
const GROUP: u32 = 3_999_990;

const SERVICE_PATH: &str = "/api/v1/namespaces/n/services/a";
const BODY: &str = r#"{"metadata": {"name": "a", "namespace": "n"}}"#;

/// An API on a Unix socket of its own, with the fake behind it.
struct Api {
    directory: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<io::Result<()>>,
}

impl Api {
    async fn start(options: ApiOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Its users have to reach the socket.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let at = BindAddress::Unix(directory.path().join("api.sock"));
        let listeners = ApiListeners::open(&[at], &options).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listeners, Fake::default(), async move {
            let _ = stopped.await;
        }));
        Self { directory, stop: Some(stop), server }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("api.sock")
    }

    /// The status that a process of another user and group gets, and the body.
    async fn ask_as(&self, uid: u32, gid: u32, method: &str, path: &str) -> (u16, String) {
        let mut command = Command::new("/proc/self/exe");
        command.args(["--exact", "--nocapture", "http::tests::local::call_as_another_user"]);
        command.env(CALL_VARIABLE, format!("{} {method} {path}", self.path().display())).uid(uid).gid(gid);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.split_once("answer: ").map(|(_, answer)| answer));
        let (status, body) = line.unwrap_or_else(|| panic!("{text}")).split_once(' ').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.server.await.unwrap().unwrap();
        assert!(!self.directory.path().join("api.sock").exists(), "a stop takes the socket away");
    }
}

async fn call(socket: &Path, method: &str, path: &str) -> io::Result<(u16, String)> {
    let request = http::Request::builder().method(method).uri(path).body(BODY.into()).unwrap();
    let stream = UnixStream::connect(socket).await?;
    let answer = send_over(stream, request, Limits::default()).await.map_err(io::Error::other)?;
    Ok((answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned()))
}

const CALL_VARIABLE: &str = "LENO_TEST_CALL";

/// What other users run; by itself it does nothing. Status 0: the socket was not opened.
#[tokio::test]
async fn call_as_another_user() {
    let Ok(text) = std::env::var(CALL_VARIABLE) else { return };
    let words: Vec<&str> = text.split(' ').collect();
    let (status, body) =
        call(Path::new(words[0]), words[1], words[2]).await.unwrap_or_else(|error| (0, error.to_string()));
    println!("\nanswer: {status} {body}");
}

#[tokio::test]
async fn the_user_of_the_server_may_do_everything() {
    let api = Api::start(ApiOptions::default()).await;
    let mode = std::fs::metadata(api.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    for (method, path, expected) in [
        ("GET", "/leno/v1/status", 200),
        ("PUT", SERVICE_PATH, 201),
        ("POST", &format!("{SERVICE_PATH}/token"), 201),
        ("POST", &format!("{SERVICE_PATH}/nothing"), 404),
    ] {
        assert_eq!(call(&api.path(), method, path).await.unwrap().0, expected, "{method} {path}");
    }
    api.stop().await;
}

#[tokio::test]
async fn each_user_may_what_his_role_may() {
    if !std::fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0) {
        return; // Only root can call as others.
    }
    let number = |number: u32| vec![number.to_string()];
    let options = ApiOptions {
        api_group: Some(GROUP.to_string()),
        api_view_user: number(VIEWER),
        api_edit_user: number(EDITOR),
        api_admin_user: number(ADMIN),
        ..ApiOptions::default()
    };
    let api = Api::start(options).await;
    let token = format!("{SERVICE_PATH}/token");
    let calls = [("GET", "/api/v1/services"), ("PUT", SERVICE_PATH), ("POST", token.as_str())];
    for (uid, expected) in [
        (0, [200, 201, 201]),
        (ADMIN, [200, 201, 201]),
        (EDITOR, [200, 201, 403]),
        (VIEWER, [200, 403, 403]),
        (STRANGER, [403, 403, 403]),
    ] {
        for ((method, path), expected) in calls.into_iter().zip(expected) {
            let (status, body) = api.ask_as(uid, GROUP, method, path).await;
            assert_eq!(status, expected, "{uid}: {method} {path}: {body}");
        }
    }
    let (_, body) = api.ask_as(VIEWER, GROUP, "POST", &token).await;
    assert!(body.contains("3999991: role view may not create token; that takes role admin"), "{body}");
    let (_, body) = api.ask_as(STRANGER, GROUP, "GET", "/healthz").await;
    assert!(
        body.contains("3999994 has no role here; call as root") && body.contains("--api-view-user"),
        "{body}"
    );
    // Who is not in the group does not get as far.
    let (status, body) = api.ask_as(ADMIN, STRANGER, "GET", "/healthz").await;
    assert!(status == 0 && body.contains("denied"), "{status} {body}");
    api.stop().await;

    let of_group = ApiOptions {
        api_group: Some(GROUP.to_string()),
        api_edit_group: number(GROUP),
        ..ApiOptions::default()
    };
    let api = Api::start(of_group).await;
    assert_eq!(api.ask_as(STRANGER, GROUP, "PUT", SERVICE_PATH).await.0, 201);
    assert_eq!(api.ask_as(STRANGER, GROUP, "POST", &token).await.0, 403);
    api.stop().await;
}

/// Lines of the log, gathered.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_says_who_changed_what() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let api = Api::start(ApiOptions::default()).await;
    for (method, path) in [
        ("GET", "/api/v1/services"),
        ("PUT", SERVICE_PATH),
        ("PUT", "/api/v1/namespaces/n/services/bad"),
        ("POST", &format!("{SERVICE_PATH}/token")),
    ] {
        call(&api.path(), method, path).await.unwrap();
    }
    api.stop().await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let written: Vec<&str> = text.lines().filter(|line| line.contains("API write")).collect();
    let user = daemon::users::LocalUser::own().name();
    assert_eq!(written.len(), 2, "{text}");
    for (line, what) in
        written.iter().zip(["verb=apply object=Service/a.n", "verb=create object=Service/a.n/token"])
    {
        assert!(line.contains(what) && line.contains(&format!("user={user} role=admin")), "{line}");
    }
}

/// Whoever hangs up before the answer has changed it all the same.
#[tokio::test]
async fn a_change_is_in_the_log_although_its_caller_has_hung_up() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let api = Api::start(ApiOptions::default()).await;
    let mut stream = tokio::net::UnixStream::connect(api.path()).await.unwrap();
    let path = "/api/v1/namespaces/n/services/slow";
    let request =
        format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{OBJECT}", OBJECT.len());
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    super::SLOW.begun.notified().await;
    drop(stream);
    // So that the server has seen it.
    call(&api.path(), "GET", "/healthz").await.unwrap();
    super::SLOW.go_on.notify_one();
    let written =
        || String::from_utf8(lines.0.lock().unwrap().clone()).unwrap().contains("verb=apply object=Service/");
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while !written() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the log says nothing of the change");
    api.stop().await;
}

/// What is put.
const OBJECT: &str = "{\"metadata\": {\"name\": \"slow\", \"namespace\": \"n\"}}";

async fn refused(addresses: &[&str], options: ApiOptions) -> String {
    let addresses: Vec<BindAddress> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    match ApiListeners::open(&addresses, &options).await {
        Ok(_) => panic!("{addresses:?} is listened on"),
        Err(error @ ApiListenError::Local(_)) => {
            format!("{error}: {}", std::error::Error::source(&error).unwrap())
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn nothing_listens_that_asks_nobody_who_calls() {
    let insecure = || ApiOptions { api_insecure_loopback: true, ..ApiOptions::default() };
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
        let told = refused(&[address], ApiOptions::default()).await;
        assert!(told.contains(address) && told.contains("anybody could call"), "{told}");
    }
    let told = refused(&["127.0.0.1:0", "0.0.0.0:0"], insecure()).await;
    assert!(told.contains("0.0.0.0:0") && told.contains("anybody"), "{told}");
    let told = refused(&["unix:/nowhere/api.sock"], insecure()).await;
    assert!(told.contains("--api-insecure-loopback: no --api"), "{told}");

    let directory = tempfile::tempdir().unwrap();
    let path = format!("unix:{}/api.sock", directory.path().display());
    let first = ApiListeners::open(&[path.parse().unwrap()], &ApiOptions::default()).await.unwrap();
    let told = refused(&[&path], ApiOptions::default()).await;
    assert!(told.starts_with("--api: a process listens on"), "{told}");
    drop(first);
    let options = ApiOptions { api_group: Some("no-such-group".into()), ..ApiOptions::default() };
    let told = refused(&[&path], options).await;
    assert!(told.contains("--api-group: this machine has no group `no-such-group`"), "{told}");
}
