//! Who may call the API of a control plane: real programs, the host's own users, TLS.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const LENO: &str = env!("CARGO_BIN_EXE_leno");
/// Numbers that are nobody's here.
const GROUP: u32 = 3_999_990;
const VIEWER: u32 = 3_999_991;
const STRANGER: u32 = 3_999_994;
const TOKEN: &str = "edit-0123456789abcdef";

const OBJECT: &str = "apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: web}
spec:
  template: {serviceAccount: web}
";

/// A root: its certificate and its key, as PEM.
fn authority() -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    format!("{}{}", params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

/// The certificate alone.
fn certificate(pem: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----";
    &pem[..pem.find(END).expect("a certificate") + END.len()]
}

/// A program that is killed at the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `leno`, and reads its log until a line has `mark`; gives that line.
fn start(line: &str, input: &str, mark: &str) -> (Running, String) {
    let mut command = Command::new(LENO);
    command.args(line.split_whitespace()).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("leno runs");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    let (running, mut seen) = (Running(child), String::new());
    loop {
        let before = seen.len();
        assert!(log.read_line(&mut seen).expect("a line") > 0, "{line} ended: {seen}");
        let last = &seen[before..];
        if last.contains(mark) {
            let last = last.to_owned();
            // What follows must not fill the pipe.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return (running, last);
        }
    }
}

struct Bed {
    directory: tempfile::TempDir,
}

impl Bed {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("written");
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o600)).expect("closed");
        self.path(name).display().to_string()
    }
}

fn leno(line: &str, user: Option<(u32, u32)>) -> Output {
    // By this name users who may not see its directory can run it too.
    let mut command = Command::new(LENO);
    command.args(line.split_whitespace()).current_dir("/").env_remove("LENO_SERVER");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command.output().expect("leno runs")
}

fn check(output: &Output, code: i32, told: &str) {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.code() == Some(code) && text.contains(told), "{code} {told}: {output:?}");
}

/// Whether this test can become other users, and they can run the program.
fn has_other_users() -> bool {
    let mut command = Command::new(LENO);
    let may = command.arg("--version").current_dir("/").uid(VIEWER).gid(GROUP).output();
    may.is_ok_and(|output| output.status.success())
}

fn is_socket(path: &Path, mode: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o777 == mode)
}

#[test]
fn the_api_asks_who_calls() {
    let bed = Bed { directory: tempfile::tempdir().expect("a directory") };
    std::fs::set_permissions(bed.directory.path(), PermissionsExt::from_mode(0o755)).expect("opened");
    let (root, api) = (bed.path("root/root.sock"), bed.path("api.sock"));
    let at = |path: &Path| format!("unix:{}", path.display());
    let holder = authority();
    let _root = start(&format!("root --root-fd 0 --listen {}", at(&root)), &holder, "root held");
    let tokens = bed.write("tokens", &format!("{TOKEN},ed,edit\n"));
    let control = format!(
        "control --cluster west --state-dir {} --issuer {} --listen 127.0.0.1:0 --metrics 127.0.0.1:0 --api {} \
         --api 127.0.0.1:0 --api-group {GROUP} --api-view-user {VIEWER} --api-token-file {tokens}",
        bed.path("state").display(),
        at(&root),
        at(&api)
    );
    let (running, line) = start(&control, "", "control plane runs");
    let tcp = line.split_once("127.0.0.1:").and_then(|_| {
        let api = line.split_once("\"api\":\"")?.1.split('"').next()?;
        api.split(' ').nth(1).map(str::to_owned)
    });
    let tcp = tcp.unwrap_or_else(|| panic!("{line}"));
    assert!(is_socket(&api, 0o660), "the socket is for its owner and the group");

    // The user of the server.
    let object = bed.write("web.yaml", OBJECT);
    let local = format!("--server {}", at(&api));
    check(
        &leno(&format!("apply -f {object} {local}"), None),
        0,
        "workloadgroup.networking.istio.io/web created",
    );
    check(&leno(&format!("token create web {local}"), None), 0, "lj1.");
    if has_other_users() {
        let viewer = Some((VIEWER, GROUP));
        check(&leno(&format!("get workloadgroups {local}"), viewer), 0, "web");
        let token = leno(&format!("token create web {local}"), viewer);
        check(&token, 1, "3999991: role view may not create token; that takes role admin");
        assert!(token.stdout.is_empty());
        let stranger = leno(&format!("get workloadgroups {local}"), Some((STRANGER, GROUP)));
        check(
            &stranger,
            1,
            "3999994 has no role here; call as root, or start the server with --api-view-user",
        );
        let outside = leno(&format!("get workloadgroups {local}"), Some((STRANGER, STRANGER)));
        check(&outside, 69, "is not open to this user; call as root, or start it with --api-group");
    }

    // From elsewhere: a token says who calls, and the root of the mesh who answers.
    let (token, unknown) = (bed.write("token", TOKEN), bed.write("unknown", "0123456789abcdef"));
    let remote = format!("--server https://{tcp} --certificate-authority");
    let (known, foreign) =
        (bed.write("root.pem", certificate(&holder)), bed.write("foreign.pem", certificate(&authority())));
    check(&leno(&format!("status {remote} {known} --token-file {token}"), None), 0, "");
    let denied = leno(&format!("token create web {remote} {known} --token-file {token}"), None);
    check(&denied, 1, "ed: role edit may not create token; that takes role admin");
    check(
        &leno(&format!("status {remote} {known} --token-file {unknown}"), None),
        1,
        "this token is not known here",
    );
    check(&leno(&format!("status {remote} {known}"), None), 1, "who calls is not known; send a token");
    check(&leno(&format!("status {remote} {foreign} --token-file {token}"), None), 69, "was not believed");
    check(&leno(&format!("status --server https://{tcp}"), None), 64, "https needs --certificate-authority");
    let plain = leno(&format!("status --server http://{tcp}"), None);
    assert_eq!(plain.status.code(), Some(69), "{plain:?}");

    // A second server does not take the socket of one that lives; of one that was killed it does.
    let second = control.replace("/state ", "/state2 ");
    let refused = leno(&second, None);
    check(&refused, 1, "listens on");
    drop(running);
    assert!(api.exists(), "a killed server leaves its socket");
    let _again = start(&second, "", "control plane runs");
    check(&leno(&format!("status {local}"), None), 0, "");
}

#[test]
fn a_control_plane_does_not_listen_where_anybody_could_call() {
    let bed = Bed { directory: tempfile::tempdir().expect("a directory") };
    let state = bed.path("state");
    let control = format!("control --cluster west --issuer unix:/no/such --state-dir {}", state.display());
    let open = leno(&format!("{control} --listen 127.0.0.1:0 --metrics 127.0.0.1:0 --api 127.0.0.1:0"), None);
    check(&open, 1, "--api=127.0.0.1:0: over TCP anybody could call and make join tokens");
    check(&leno(&format!("{control} --api nonsense"), None), 64, "neither IP:PORT nor unix:PATH");
    check(&leno(&format!("{control} --api-view-user alice"), None), 64, "--api-group");
}

/// What `curl` prints of a page on a Unix socket, and how it ends.
fn page(socket: &Path, path: &str, user: Option<(u32, u32)>) -> Output {
    let mut command = Command::new("curl");
    command.args(["-s", "--max-time", "20", "--unix-socket"]).arg(socket);
    command.arg(format!("http://localhost{path}")).current_dir("/");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command.output().expect("curl runs")
}

#[test]
fn the_admin_page_may_be_for_root_and_the_own_user_alone() {
    let bed = Bed { directory: tempfile::tempdir().expect("a directory") };
    std::fs::set_permissions(bed.directory.path(), PermissionsExt::from_mode(0o755)).expect("opened");
    let admin = bed.path("proxy.sock");
    let token = bed.write("token", &format!("lj1.{}.{}.{}", "0".repeat(16), "0".repeat(32), "0".repeat(64)));
    // Nobody is there to join; the page is there before.
    let proxy = format!("proxy --control 127.0.0.1:1 --metrics-port 0 --join-token-file {token} --admin");
    let (_running, _) = start(&format!("{proxy} unix:{}", admin.display()), "", "join");
    assert!(is_socket(&admin, 0o600), "the socket is for its owner");
    check(&page(&admin, "/ready", None), 0, "PRE_INITIALIZING");
    if has_other_users() {
        check(&page(&admin, "/ready", Some((VIEWER, GROUP))), 7, "");
    }
    check(&leno(&format!("{proxy} unix:{}", admin.display()), None), 1, "listens on");
    check(&leno(&format!("{proxy} 0.0.0.0:0"), None), 1, "the admin page is for this host alone");
    check(&leno(&format!("{proxy} nonsense"), None), 64, "neither IP:PORT nor unix:PATH");
}
