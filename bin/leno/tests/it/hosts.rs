//! Bare hosts that are network and mount namespaces on one bridge, driven by a script, with nothing of the demo.
//!
//! Pages of the documentation become such a script: a block's language says where it runs, `sh HOST`, or `yaml HOST FILE`
//! for a file that is written there. What `leno token create` printed last is `$TOKEN` in later blocks, what `leno root
//! grant` did is `$GRANT`.

use crate::demo::LENO;
use crate::keys::{Searcher, plant};
use crate::secrets::collect_public_keys;
use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes hosts on one bridge, and defines `inside HOST COMMAND`. Everything ends with the script's process.
pub(crate) const HOSTS: &str = r#"set -euo pipefail
export PATH="$LENO_BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ip link set lo up
ip link add mesh type bridge
ip link set mesh up
inside() { nsenter --target "$(cat "$1.pid")" --mount --net --wd="$PWD/$1" timeout 60 bash -euo pipefail -c "$2"; }
host() {
    mkdir "$1"
    unshare --mount --net sleep infinity &
    echo $! > "$1.pid"
    until [ "$(readlink "/proc/$!/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do :; done
    ip link add "to-$1" type veth peer name eth0 netns "$!"
    ip link set "to-$1" master mesh up
    inside "$1" "for d in /run /srv /var/lib /var/log; do mount -t tmpfs tmpfs \$d; done
        ip link set lo up; ip address add $2/24 dev eth0; ip address add fd00::${2##*.}/64 dev eth0 nodad
        ip link set eth0 up; ip route add default via 10.0.0.1
        nft list ruleset > before.nft"
}
run() {
    local began=$SECONDS
    inside "$1" "$2" | tee printed
    TOKEN=$(grep -Eo '^lj1\.[^ ]+' printed || echo "${TOKEN:-}")
    GRANT=$(grep -Eo '^lg1\.[^ ]+' printed || echo "${GRANT:-}")
    export TOKEN GRANT
    echo "== $1: $((SECONDS - began)) s"
}
# What a host has on its disks, in its logs and on its command lines, for a search: HOST.evidence; and the certificates of
# its proxy: HOST.certs.
evidence() {
    inside "$1" 'curl -sf --max-time 20 http://127.0.0.1:15000/certs || true' > "$1.certs"
    inside "$1" 'tar -cf - --ignore-failed-read /run /srv /var/lib /var/log . 2> /dev/null
        cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2> /dev/null || true' > "$1.evidence"
}
"#;

/// A block of a page.
pub(crate) struct Block<'a> {
    pub(crate) language: &'a str,
    pub(crate) text: String,
}

pub(crate) fn blocks(page: &str) -> Vec<Block<'_>> {
    let (mut found, mut open): (Vec<Block<'_>>, Option<Block<'_>>) = (Vec::new(), None);
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some(Block { language, text: String::new() }),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => {
                let _ = writeln!(block.text, "{line}");
            }
            (None, None) => {}
        }
    }
    found
}

/// The rows of the page's table of hosts: name and address.
pub(crate) fn hosts(page: &str) -> Vec<(&str, &str)> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter_map(|(name, rest)| Some((name, rest.split_once(" | ")?.0)))
        .filter(|(_, address)| address.parse::<std::net::Ipv4Addr>().is_ok())
        .collect()
}

pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What a script left.
pub(crate) struct Outcome {
    /// What it printed.
    pub(crate) printed: String,
    directory: tempfile::TempDir,
}

/// Runs a script as root of namespaces of its own, in an empty directory.
pub(crate) fn run(script: &str) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let bin = Path::new(LENO).parent().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    let output = command
        .args(["bash", "-c", script])
        .current_dir(directory.path())
        .env("LENO_BIN", bin)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    Outcome { printed, directory }
}

impl Outcome {
    /// No private key of a certificate that any proxy had or trusted is in what `evidence` gathered; a planted one is
    /// found.
    pub(crate) fn has_no_key(&self) {
        let read = |path: &Path| std::fs::read(path).unwrap();
        let files: Vec<_> =
            std::fs::read_dir(self.directory.path()).unwrap().map(|e| e.unwrap().path()).collect();
        let with = |extension: &str| {
            let found = files.iter().filter(|path| path.extension().is_some_and(|found| found == extension));
            found
                .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(path)))
                .collect::<Vec<_>>()
        };
        let mut publics = HashSet::new();
        for (_, certs) in with("certs").iter().filter(|(_, certs)| !certs.is_empty()) {
            collect_public_keys(&serde_json::from_slice(certs).expect("JSON"), &mut publics);
        }
        assert!(publics.len() >= 3, "the proxies', the clusters' and the root's: {}", publics.len());
        let (_, public, pem) = plant();
        publics.insert(public);
        let mut evidence = with("evidence");
        let search = |evidence: &[(String, Vec<u8>)]| {
            let mut searcher = Searcher::new(publics.clone());
            let found: Vec<_> = evidence
                .iter()
                .filter_map(|(name, bytes)| Some((name.clone(), searcher.search(bytes)?)))
                .collect();
            println!("{} hosts, {} scalars tried", evidence.len(), searcher.tried());
            assert!(searcher.tried() > 1000, "the search must have something to search");
            found
        };
        assert_eq!(search(&evidence), []);
        let (name, bytes) = evidence.first_mut().expect("evidence");
        let name = name.clone();
        bytes.extend_from_slice(pem.as_bytes());
        assert_eq!(search(&evidence), [(name, "base64")], "the control run");
    }
}
