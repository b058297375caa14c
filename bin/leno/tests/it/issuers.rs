//! Planes outside of the demo: who signs for them, and what becomes of them when nobody does.

use crate::bare::{BareHost, BareProgram};
use crate::demo::{text, wait_until};
use crate::keys::{Searcher, plant};
use std::collections::HashSet;
use std::io::Write;
use std::process::Stdio;

const ROOT: &str = "unix:/run/leno/root.sock";
/// A mesh of one group.
const GROUP: &str = "
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: web, namespace: default }
spec:
  metadata: { labels: { app: web } }
  template: { serviceAccount: web }
";
/// Where the programs of a host show what they have.
const PAGES: [&str; 4] = [
    "http://127.0.0.1:15000/config_dump",
    "http://127.0.0.1:15000/certs",
    "http://127.0.0.1:15014/metrics",
    "http://127.0.0.1:15080/leno/v1/status",
];

/// `leno control` of west, with this for its issuer.
fn control(host: &BareHost, issuer: &[&str], input: &[u8]) -> BareProgram {
    let options = ["control", "--cluster", "west", "--state-dir", "/run/leno/west"];
    host.spawn(&[&options, issuer].concat(), input)
}

fn apply(host: &BareHost, yaml: &str) {
    let mut command = host.command(&[crate::demo::LENO, "apply", "-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nsenter runs");
    child.stdin.take().expect("piped").write_all(yaml.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}", text(&output));
}

/// A proxy that joined with a token and runs what it was sent.
fn join(host: &BareHost) -> BareProgram {
    apply(host, GROUP);
    let token = host.run(&["token", "create", "web"]);
    let options = ["proxy", "--control", "127.0.0.1:15012", "--join-token-file", "-"];
    let proxy = host.spawn(&options, token.as_bytes());
    wait_until("the proxy is in sync", || {
        let status = host.leno(&["status"]);
        String::from_utf8_lossy(&status.stdout).contains("SYNCED")
    });
    proxy
}

/// Public keys of all certificates that a proxy on the host has or trusts.
fn publics(host: &BareHost) -> HashSet<Vec<u8>> {
    let page = host.shell("curl -sf --max-time 20 http://127.0.0.1:15000/certs");
    let page: serde_json::Value = serde_json::from_slice(&page).expect("JSON");
    let mut publics = HashSet::new();
    crate::secrets::collect_public_keys(&page, &mut publics);
    publics
}

/// No private key of these anywhere on the host; a planted one is found.
fn scan(host: &BareHost, programs: &[&BareProgram], mut publics: HashSet<Vec<u8>>) {
    let find = |publics: &HashSet<Vec<u8>>| {
        let all = host.evidence(programs, &PAGES);
        let mut searcher = Searcher::new(publics.clone());
        let found: Vec<_> = all
            .iter()
            .filter_map(|(place, contents)| Some((place.clone(), searcher.search(contents)?)))
            .collect();
        println!("{} places, {} scalars tried", all.len(), searcher.tried());
        assert!(all.len() > 10 && searcher.tried() > 1000, "the search must have something to search");
        found
    };
    assert_eq!(find(&publics), []);
    let (_, public, pem) = plant();
    publics.insert(public);
    host.shell(&format!("echo '{pem}' > /run/leno/planted"));
    assert_eq!(find(&publics), [("/run/leno/planted".to_owned(), "base64")], "the control run");
    host.shell("rm /run/leno/planted");
}

#[test]
fn a_root_and_a_control_plane_started_by_hand_take_in_a_proxy() {
    let host = BareHost::start();
    let alone = host.leno(&["control", "--cluster", "west", "--state-dir", "/run/leno/west"]);
    let told = text(&alone);
    assert_eq!(alone.status.code(), Some(1), "{told}");
    assert!(told.contains("`leno root --listen unix:") && told.contains("`--issuer unix:"), "{told}");

    // The control plane may come first.
    let control = control(&host, &["--issuer", ROOT], b"");
    control.wait_for("reach the holder of the root at unix:/run/leno/root.sock");
    let root = host.spawn(&["root", "--trust-domain", "shop.example"], b"");
    root.wait_for("root held");
    assert!(root.log().contains("DEVELOPMENT ROOT"), "{}", root.log());
    control.wait_for("control plane runs");
    let proxy = join(&host);
    wait_until("the signing is in the root's log", || {
        let log = root.log();
        log.lines().any(|line| {
            line.contains("signed an intermediate")
                && line.contains(r#""cluster":"west""#)
                && line.contains("uid 0")
        })
    });
    let modes = host.shell("stat -c %a /run/leno/root.sock /run/leno");
    assert_eq!(String::from_utf8_lossy(&modes), "600\n700\n");

    let publics = publics(&host);
    assert!(publics.len() >= 3, "the proxy's, the cluster's and the root's: {}", publics.len());
    scan(&host, &[&root, &control, &proxy], publics);

    // The management plane has its certificate from the same root.
    let manager =
        ["manager", "--issuer", ROOT, "--state-dir", "/run/leno/manager", "--listen", "127.0.0.1:15112"];
    let manager = host.spawn(&[&manager[..], &["--metrics", "127.0.0.1:15114"]].concat(), b"");
    manager.wait_for("management plane runs");
    assert!(root.log().contains("spiffe://shop.example/ns/leno-system/sa/manager"), "{}", root.log());
    manager.stop();
    proxy.stop();
    control.stop();
    root.stop();
    host.shell("test ! -e /run/leno/root.sock");
}

/// A root as `openssl` makes one: its certificate and key, as PEM.
fn openssl_root(host: &BareHost) -> Vec<u8> {
    host.shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=Shop Root' \
         -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
         -keyout - -out - 2>/dev/null",
    )
}

#[test]
fn a_root_that_is_read_once_outlives_its_process() {
    let host = BareHost::start();
    let pem = openssl_root(&host);
    let hold = || {
        let root = host.spawn(&["root", "--root-fd", "0"], &pem);
        root.wait_for("root held");
        assert!(!root.log().contains("DEVELOPMENT"), "{}", root.log());
        root
    };
    let root = hold();
    let control = control(&host, &["--issuer", ROOT], b"");
    control.wait_for("control plane runs");
    let proxy = join(&host);
    // Killed without a word: what it left is taken over.
    drop(root);
    host.shell("test -e /run/leno/root.sock");
    let root = hold();
    control.stop();
    let control = self::control(&host, &["--issuer", ROOT], b"");
    control.wait_for("control plane runs");
    wait_until("the proxy is back", || {
        let status = host.leno(&["status"]);
        String::from_utf8_lossy(&status.stdout).contains("SYNCED")
    });
    let publics = publics(&host);
    scan(&host, &[&root, &control, &proxy], publics);

    // What is no root is told, and nothing is held.
    for (pem, expected) in [
        (&b""[..], "no certificate in the PEM text"),
        (b"-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n", "openssl pkcs8 -topk8"),
    ] {
        let (code, log) =
            host.spawn(&["root", "--root-fd", "0", "--listen", "unix:/run/other.sock"], pem).end();
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains(expected) && log.contains("read the root from descriptor 0"), "{log}");
    }
}

/// Answers every question at the root's socket with these bytes, as the shell writes them, and keeps the stream open.
fn hostile(host: &BareHost, answer: &str) -> BareProgram {
    let script = format!(
        "import os, socket\nos.makedirs('/run/leno', exist_ok=True)\ns = socket.socket(socket.AF_UNIX)\n\
         s.bind('/run/leno/root.sock')\ns.listen()\nkept = []\nwhile True:\n    c, _ = s.accept()\n    kept.append(c)\n    c.sendall({answer})\n"
    );
    host.spawn_program(&["python3", "-c", &script])
}

#[test]
fn a_hostile_issuer_is_named_and_asked_again() {
    for (answer, expected) in [
        ("b'HTTP/1.1 200 OK'", "frame too large"),
        ("(4).to_bytes(4,'big') + b'null'", "malformed answer"),
        ("(4096).to_bytes(4,'big') + b'{'", "gave no answer within 10 s"),
    ] {
        let host = BareHost::start();
        let issuer = hostile(&host, answer);
        let control = control(&host, &["--issuer", ROOT], b"");
        control.wait_for(expected);
        control.wait_for("nobody can join or renew");
        drop(issuer);
        host.shell("rm /run/leno/root.sock");
        // As soon as there is a good one it is taken.
        let root = host.spawn(&["root"], b"");
        root.wait_for("root held");
        control.wait_for("control plane runs");
        control.stop();
        root.stop();
    }
}
