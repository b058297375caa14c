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
    "--unix-socket /run/leno/control.sock http://localhost/leno/v1/status",
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
pub(crate) fn join(host: &BareHost) -> BareProgram {
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
pub(crate) fn publics(host: &BareHost) -> HashSet<Vec<u8>> {
    let page = host.shell("curl -sf --max-time 20 http://127.0.0.1:15000/certs");
    let page: serde_json::Value = serde_json::from_slice(&page).expect("JSON");
    let mut publics = HashSet::new();
    crate::secrets::collect_public_keys(&page, &mut publics);
    publics
}

/// No private key of these anywhere on the host; a planted one is found.
pub(crate) fn scan(host: &BareHost, programs: &[&BareProgram], mut publics: HashSet<Vec<u8>>) {
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
pub(crate) fn openssl_root(host: &BareHost) -> Vec<u8> {
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

/// One of several planes on a host, each with ports and a socket of its own; that of the first is where the command line
/// looks.
pub(crate) fn on_ports(base: u16) -> [String; 6] {
    let at = |option: &str, port: u16| [option.to_owned(), format!("127.0.0.1:{port}")];
    let socket = if base == 15000 { "control".to_owned() } else { format!("control-{base}") };
    let api = ["--api".to_owned(), format!("unix:/run/leno/{socket}.sock")];
    let options = [at("--listen", base + 12), at("--metrics", base + 14), api];
    options.concat().try_into().expect("six words")
}

/// `leno control` of a cluster, with a grant for a root over TLS.
fn control_by_grant(host: &BareHost, cluster: &str, ports: &[String; 6], grant: &[u8]) -> BareProgram {
    let state = format!("/run/leno/state-{}", ports[1]);
    let mut options = vec!["control", "--cluster", cluster, "--state-dir", &state];
    options.extend(["--issuer", "tls://localhost:15013", "--issuer-token-file", "-"]);
    options.extend(ports.iter().map(String::as_str));
    host.spawn(&options, grant)
}

#[test]
fn a_root_on_another_host_is_asked_with_a_grant_and_then_by_certificate() {
    let host = BareHost::start();
    let listen = ["--listen", ROOT, "--listen", "tls://127.0.0.1:15013"];
    let root = host.spawn(&[&["root", "--intermediate-ttl-s", "60"], &listen[..]].concat(), b"");
    root.wait_for("root held");
    let grant = host.run(&["root", "grant", "--cluster", "west"]);
    assert!(grant.starts_with("lg1.") && grant.trim_end().ends_with(".cluster.west"), "{grant}");
    let west = control_by_grant(&host, "west", &on_ports(15000), grant.as_bytes());
    west.wait_for("control plane runs");
    let proxy = join(&host);

    // Spent, of no form, for a proxy, for another cluster: each is told, and no control plane starts.
    let other = host.run(&["root", "grant", "--cluster", "north"]);
    let join_token = host.run(&["token", "create", "web"]);
    for (token, expected) in [
        (grant.as_str(), "the grant was used before; make another with `leno root grant`"),
        ("nonsense", "not a grant of the form lg1."),
        (join_token.as_str(), "a join token, which is for a proxy"),
        (
            other.as_str(),
            "the grant is for the control plane of cluster north, this is the control plane of cluster west",
        ),
        ("", "not a grant of the form lg1."),
    ] {
        let (code, log) = control_by_grant(&host, "west", &on_ports(15200), token.as_bytes()).end();
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains(expected), "{log}");
    }
    let refused = host.leno(&["root", "grant", "--cluster", "a b"]);
    assert!(text(&refused).contains("is no name of a cluster"), "{}", text(&refused));

    // The management plane has a grant of its own, and both renew by what they were given.
    let grant = host.run(&["root", "grant", "--manager"]);
    let mut options =
        vec!["manager", "--state-dir", "/run/leno/manager", "--issuer", "tls://localhost:15013"];
    let ports = on_ports(15300);
    options.extend(["--issuer-token-file", "-"]);
    options.extend(ports.iter().map(String::as_str));
    let manager = host.spawn(&options, grant.as_bytes());
    manager.wait_for("management plane runs");
    west.wait_for("signing certificate renewed");
    wait_until("the renewal is in the root's log", || {
        let log = root.log();
        let is_renewal = |line: &str| line.contains("signed an intermediate") && line.contains("/sa/control");
        log.lines().any(is_renewal)
    });
    let secret = grant.split('.').nth(2).expect("a secret").to_owned();
    assert!(!root.log().contains(&secret) && !manager.log().contains(&secret), "a grant in a log");
    let publics = publics(&host);
    scan(&host, &[&root, &west, &proxy, &manager], publics);
}

/// What `openssl` makes of a root and this: the certificate, the root's, and the key.
fn openssl_signed(host: &BareHost, subject: &str, extensions: &str) -> Vec<u8> {
    let root = openssl_root(host);
    let script = format!(
        "d=$(mktemp -d /tmp/leno-issuers-XXXXXX); trap 'rm -r $d' EXIT; cat > $d/root.pem <<'END'\n{}END\n\
         openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '{subject}' -keyout $d/key.pem \
         -out $d/csr.pem 2>/dev/null\n\
         openssl x509 -req -in $d/csr.pem -CA $d/root.pem -CAkey $d/root.pem -days 1 -extfile <(printf '{extensions}') \
         2>/dev/null\n\
         openssl x509 -in $d/root.pem\ncat $d/key.pem",
        String::from_utf8(root).expect("PEM")
    );
    host.shell(&script)
}

#[test]
fn certificates_that_were_made_elsewhere_are_read_once() {
    let host = BareHost::start();
    let extensions = "basicConstraints=critical,CA:TRUE,pathlen:0\\nkeyUsage=critical,keyCertSign,cRLSign";
    let pem = openssl_signed(&host, "/O=Shop/OU=west", extensions);
    let given = ["--intermediate-fd", "0", "--trust-domain", "shop.example"];
    let control = self::control(&host, &given, &pem);
    control.wait_for("control plane runs");
    control.wait_for("the signing certificate was given and is not renewed");
    let proxy = join(&host);
    let publics = publics(&host);
    scan(&host, &[&control, &proxy], publics);
    proxy.stop();
    control.stop();

    for (cluster, expected) in
        [("east", "is for cluster west, this is east"), ("west", "it must have path length 0")]
    {
        let loose = extensions.replace(",pathlen:0", "");
        let pem =
            openssl_signed(&host, "/O=Shop/OU=west", if cluster == "west" { &loose } else { extensions });
        let options = ["control", "--cluster", cluster, "--state-dir", "/run/leno/other"];
        let (code, log) = host.spawn(&[&options[..], &given].concat(), &pem).end();
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains(expected), "{log}");
    }

    let name = "subjectAltName=URI:spiffe://shop.example/ns/leno-system/sa/manager\\n";
    let leaf = format!("{name}keyUsage=critical,digitalSignature\\nbasicConstraints=critical,CA:FALSE");
    let pem = openssl_signed(&host, "/O=Shop", &leaf);
    let options = ["manager", "--state-dir", "/run/leno/manager", "--certificate-fd", "0"];
    let manager = host.spawn(&options, &pem);
    manager.wait_for("management plane runs");
    assert!(manager.log().contains("is not renewed"), "{}", manager.log());
    manager.stop();
}

#[test]
fn the_commands_in_the_documentation_of_issuers_work() {
    const PAGE: &str = include_str!("../../../../docs/issuers.md");
    let mut sections = 0;
    for section in PAGE.split("\n## ").skip(1) {
        let (title, text) = section.split_once('\n').expect("a title");
        let blocks: Vec<&str> =
            text.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
        if blocks.is_empty() {
            continue;
        }
        println!("{title}");
        let host = BareHost::start();
        let leno = std::path::Path::new(crate::demo::LENO).parent().expect("a directory").display();
        let script = format!(
            "set -meo pipefail\nexport PATH={leno}:$PATH\nmkdir /run/trial\ncd /run/trial\n\
             trap 'for job in $(jobs -p); do kill -- -$job; done; wait' EXIT\n{}",
            blocks.concat()
        );
        let mut bash = host.command(&["bash", "-c", &script]);
        let output = bash.output().expect("nsenter runs");
        assert!(output.status.success(), "{title}\n{script}\n{}", crate::demo::text(&output));
        // The last command of each asks whether the control plane is ready.
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok", "{title}");
        sections += 1;
    }
    assert_eq!(sections, 4, "sections with commands");
}
