//! What a control plane keeps, when its disk is full and when its file is damaged.

use crate::bare::{BareHost, BareProgram};
use crate::demo::{LENO, text, wait_until};
use crate::issuers::{openssl_root, publics};
use crate::keys::{Searcher, plant};
use std::collections::HashSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

const CONTROL: [&str; 7] =
    ["control", "--cluster", "west", "--issuer", "unix:/run/leno/root.sock", "--state-dir", "/var/lib/west"];

/// A host with a root.
fn host() -> (BareHost, BareProgram) {
    let host = BareHost::start();
    let root = host.spawn(&["root"], b"");
    root.wait_for("root held");
    (host, root)
}

fn control(host: &BareHost) -> BareProgram {
    let control = host.spawn(&CONTROL, b"");
    control.wait_for("control plane runs");
    control
}

/// Applies a group with an annotation of this many bytes.
fn apply(host: &BareHost, name: &str, bytes: usize) -> Output {
    apply_text(
        host,
        &format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: {name}, annotations: {{a: {}}}}}\n\
         spec:\n  template: {{serviceAccount: web}}\n",
            "x".repeat(bytes)
        ),
    )
}

fn apply_text(host: &BareHost, yaml: &str) -> Output {
    let mut command = host.command(&[LENO, "apply", "-f", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    child.stdin.take().expect("piped").write_all(yaml.as_bytes()).expect("written");
    child.wait_with_output().expect("its end")
}

#[test]
fn a_full_disk_is_told_and_what_was_known_stays_in_force() {
    let (host, _root) = host();
    host.shell("mkdir /var/lib/west; mount -t tmpfs -o size=1m tmpfs /var/lib/west");
    let control = control(&host);
    let applied = apply(&host, "small", 10);
    assert!(applied.status.success(), "{}", text(&applied));
    host.shell("dd if=/dev/zero of=/var/lib/west/filler bs=4k 2> /dev/null || true");

    for _ in 0..2 {
        let refused = apply(&host, "large", 500_000);
        let told = text(&refused);
        assert!(!refused.status.success() && told.contains("/var/lib/west/control.redb"), "{told}");
        assert!(told.contains("its disk is full; free space there"), "{told}");
        let known = host.run(&["get", "workloadgroups"]);
        assert!(known.contains("small") && !known.contains("large"), "{known}");
    }
    // A start on a full disk has what was known, too.
    control.stop();
    let control = self::control(&host);
    assert!(host.run(&["get", "workloadgroups"]).contains("small"));
    assert!(!apply(&host, "large", 500_000).status.success());

    // Nothing has to be started anew.
    host.shell("rm /var/lib/west/filler");
    let applied = apply(&host, "large", 500_000);
    assert!(applied.status.success(), "{}", text(&applied));
    control.stop();
    let control = self::control(&host);
    let known = host.run(&["get", "workloadgroups"]);
    assert!(known.contains("small") && known.contains("large"), "{known}");
    control.stop();
}

#[test]
fn a_damaged_file_is_refused_with_what_to_do() {
    let (host, _root) = host();
    let control = control(&host);
    assert!(apply(&host, "web", 10).status.success());
    control.stop();
    host.shell("cp /var/lib/west/control.redb /var/lib/sound");
    for damage in ["truncate -s 5000", "truncate -s 0", "printf 'no state' | dd conv=notrunc of="] {
        let damage = match damage.strip_suffix("of=") {
            Some(_) => format!("{damage}/var/lib/west/control.redb 2> /dev/null"),
            None => format!("{damage} /var/lib/west/control.redb"),
        };
        host.shell(&format!("{damage}; sha256sum /var/lib/west/control.redb > /run/before"));
        let (code, log) = host.spawn(&CONTROL, b"").end();
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("/var/lib/west/control.redb is damaged"), "{log}");
        assert!(log.contains("restore a backup") && !log.contains("panicked"), "{log}");
        host.shell("sha256sum -c /run/before; cp /var/lib/sound /var/lib/west/control.redb");
    }
    let control = self::control(&host);
    assert!(host.run(&["get", "workloadgroups"]).contains("web"));
    control.stop();
}

/// A mesh of one service with two names.
const SHOP: &str = "
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: web }
spec:
  metadata: { labels: { app: web } }
  template: { serviceAccount: web }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
---
apiVersion: leno.dev/v1alpha1
kind: GlobalService
metadata: { name: web }
spec:
  hosts: [web.global]
  backends: [{ service: { name: web } }]
";

/// Asks the proxy for the mesh-only address of each name (RFC 1035, section 4).
const ASK: &str = r"
import socket
for name in ('web.default.svc.cluster.local', 'web.global'):
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.')) + bytes(1)
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.settimeout(20)
    asking.sendto(bytes([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + labels + bytes([0, 1, 0, 1]), ('127.0.0.1', 15053))
    answer = asking.recv(512)
    assert answer[7] == 1, answer
    print(name, socket.inet_ntoa(answer.split(bytes([0, 4]))[-1][:4]))
";

/// A proxy, given this token.
fn proxy(host: &BareHost, token: &str) -> BareProgram {
    host.spawn(&["proxy", "--control", "127.0.0.1:15012", "--join-token-file", "-"], token.as_bytes())
}

fn in_sync(host: &BareHost) {
    wait_until("the proxy is in sync", || text(&host.leno(&["status"])).contains("SYNCED"));
}

/// Objects and mesh-only addresses, as they are known there.
fn known(host: &BareHost) -> String {
    let objects = ["services", "globalservices", "workloadgroups"]
        .map(|kind| host.run(&["get", kind, "--output", "yaml"]));
    let asked = host.command(&["python3", "-c", ASK]).output().expect("python runs");
    assert!(asked.status.success(), "{}", text(&asked));
    format!("{}{}", objects.concat(), String::from_utf8_lossy(&asked.stdout))
}

/// No private key that belongs to one of these is in the file; a planted one is found.
fn check_without_keys(path: &Path, mut publics: HashSet<Vec<u8>>) {
    let mut bytes = std::fs::read(path).expect("the backup");
    assert_eq!(Searcher::new(publics.clone()).search(&bytes), None);
    let (_, public, pem) = plant();
    publics.insert(public);
    bytes.extend(pem.into_bytes());
    assert_eq!(Searcher::new(publics).search(&bytes), Some("base64"), "the control run");
}

#[test]
fn a_backup_restored_on_another_host_is_the_same_control_plane() {
    let files = tempfile::tempdir().expect("a directory");
    let path = files.path().join("backup");
    let backup = path.to_str().expect("text");
    let first = BareHost::start();
    let pem = openssl_root(&first);
    let hold = |host: &BareHost| {
        let root = host.spawn(&["root", "--root-fd", "0"], &pem);
        root.wait_for("root held");
        root
    };
    let (root, control) = (hold(&first), control(&first));
    let applied = apply_text(&first, SHOP);
    assert!(applied.status.success(), "{}", text(&applied));
    let spent = first.run(&["token", "create", "web"]);
    let joined = proxy(&first, &spent);
    in_sync(&first);
    let fresh = first.run(&["token", "create", "web"]);
    let before = known(&first);
    let status = first.run(&["status"]);
    let uid = status.lines().find_map(|line| line.split(' ').next().filter(|word| word.starts_with("west/")));
    let uid = uid.expect("a registration");
    first.run(&["backup", "create", backup]);
    assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    check_without_keys(&path, publics(&first));
    drop((joined, control, root));

    let second = BareHost::start();
    let _root = hold(&second);
    let restore = ["backup", "restore", backup, "--state", "/var/lib/west"];
    second.run(&restore);
    let refused = text(&second.leno(&restore));
    assert!(refused.contains("control.redb is there already") && refused.contains("--replace"), "{refused}");
    let control = self::control(&second);
    let refused = text(&second.leno(&[&restore[..], &["--replace"]].concat()));
    assert!(refused.contains("in use by another process"), "{refused}");
    let status = text(&second.leno(&["status"]));
    assert!(status.contains(uid), "{status}");
    let (_, log) = proxy(&second, &spent).end();
    assert!(log.contains("used before"), "{log}");
    let joined = proxy(&second, &fresh);
    in_sync(&second);
    assert_eq!(known(&second), before);
    joined.stop();
    control.stop();
}

#[test]
fn the_commands_in_the_documentation_of_backups_work() {
    const PAGE: &str = include_str!("../../../../docs/backup.md");
    let (host, root) = host();
    let control = control(&host);
    assert!(apply_text(&host, SHOP).status.success());
    let blocks: Vec<&str> =
        PAGE.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap_or_default()).collect();
    let [create, restore] = blocks[..] else { panic!("{blocks:?}") };
    let leno = Path::new(LENO).parent().expect("a directory").display();
    host.shell(&format!("export PATH={leno}:$PATH\n{create}"));
    control.stop();
    let output =
        host.shell(&format!("export PATH={leno}:$PATH\n{restore}\nleno get services; kill %1; wait"));
    let output = String::from_utf8_lossy(&output);
    assert!(output.contains("ok") && output.contains("web"), "{output}");
    root.stop();
}
