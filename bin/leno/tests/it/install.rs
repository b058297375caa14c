//! The pages on installing keep their word: every block is run as it stands, on bare hosts that are network and mount
//! namespaces, with nothing of the demo.
//!
//! A block's language says where it runs: `sh HOST`, or `yaml HOST FILE` for a file that is written there. What `leno token
//! create` printed last is `$TOKEN` in later blocks.

use crate::demo::LENO;
use crate::readme::{README, is_as_shown};
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const VMS: &str = include_str!("../../../../docs/install-vms.md");

/// Makes hosts on one bridge, and defines `inside HOST COMMAND`. Everything ends with the script's process.
const HOSTS: &str = r#"set -euo pipefail
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
    export TOKEN
    echo "== $1: $((SECONDS - began)) s"
}
"#;

/// What the page does not tell of: a captured host reaches others outside the mesh over IPv6, too.
const OUTSIDE: &str = r#"
run control 'mkdir -p /srv/v6 && echo "hello over IPv6" > /srv/v6/index.html
python3 -m http.server 9000 --bind :: --directory /srv/v6 > /var/log/v6.log 2>&1 &'
run web 'curl -s -g --retry 5 --retry-all-errors "http://[fd00::11]:9000/"'
"#;

/// A block of a page.
struct Block<'a> {
    language: &'a str,
    text: String,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
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
fn hosts(page: &str) -> Vec<(&str, &str)> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter_map(|(name, rest)| Some((name, rest.split_once(" | ")?.0)))
        .filter(|(_, address)| address.parse::<std::net::Ipv4Addr>().is_ok())
        .collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The page as one script.
fn script(page: &str) -> String {
    let mut script = String::from(HOSTS);
    for (name, address) in hosts(page) {
        let _ = writeln!(script, "host {name} {address}");
    }
    for Block { language, text } in blocks(page) {
        let words: Vec<&str> = language.split(' ').collect();
        match words.as_slice() {
            ["sh", host] => {
                if text.contains("leno leave") && !script.contains(OUTSIDE) {
                    script.push_str(OUTSIDE);
                }
                let _ = writeln!(script, "run {host} {}", quoted(&text));
            }
            ["yaml", host, file] => {
                let _ = writeln!(script, "printf %s {} > {host}/{file}", quoted(&text));
            }
            _ => panic!("a block that nobody runs: {language}"),
        }
    }
    // Whoever left has the network that it came with.
    script.push_str("for host in web api; do inside $host 'nft list ruleset | cmp - before.nft'; done\n");
    script
}

/// Runs a script as root of namespaces of its own, in an empty directory; says what it printed.
fn run(script: &str) -> String {
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
    printed
}

#[test]
fn three_bare_hosts_become_a_mesh_and_part_again() {
    assert_eq!(hosts(VMS).len(), 3, "the page has no table of hosts");
    let printed = run(&script(VMS));
    println!("{printed}");
    assert!(printed.matches("hello from api").count() >= 3, "{printed}");
    assert!(printed.contains("hello over IPv6"), "{printed}");
    readme_is_true(&printed);
}

/// The README's commands for hosts are some of the page's, and print what it shows.
fn readme_is_true(printed: &str) {
    let all = blocks(README);
    let block = all.iter().find(|block| block.language == "console").expect("commands on hosts");
    let mut commands = 0;
    for line in block.text.lines() {
        match line.split_once("$ ") {
            Some((host, command)) => {
                let on_host = format!("sh {host}");
                let is_on_page =
                    blocks(VMS).iter().any(|block| block.language == on_host && block.text.contains(command));
                assert!(is_on_page, "the page has no {command} on {host}");
                commands += 1;
            }
            None if line.starts_with("lj1.") => assert!(printed.contains("\nlj1."), "{printed}"),
            None => {
                let is_shown = printed.lines().any(|printed| is_as_shown(line, printed));
                assert!(is_shown, "the README shows {line}\n{printed}");
            }
        }
    }
    assert_eq!(commands, 6);
}

/// What a host that cannot join is told, with what it has afterwards.
fn refused(token: &str, control: &str) -> String {
    let try_it = format!(
        "host web 10.0.0.12\ninside web \"timeout 20 leno join - --control {control} <<< {} 2>&1 && exit 1; \
         nft list ruleset | cmp - before.nft; [ ! -s /run/leno/join.pid ]\"\n",
        quoted(token)
    );
    run(&format!("{HOSTS}{try_it}"))
}

#[test]
fn a_token_that_is_none_changes_nothing_on_the_host() {
    for token in ["", "nonsense", "lj1.a.b", &"x".repeat(2000)] {
        let told = refused(token, "10.0.0.11:15012");
        assert!(told.contains("changed on this host") || told.contains("too long for a token"), "{told}");
    }
}

/// Without a proxy a captured host reaches nobody: after some time it has its own network again, and the mesh when the
/// proxy is back.
#[test]
fn capture_undoes_itself_when_the_proxy_is_gone_and_comes_back_with_it() {
    let script = r#"host web 10.0.0.12
inside web '
    is_captured() { nft list table inet leno > /dev/null 2>&1; }
    leno node capture --undo-after 1 2> guard.log &
    guard=$!
    until is_captured; do :; done
    while is_captured; do :; done
    python3 -c "import socket, time; s = socket.create_server((\"0.0.0.0\", 15001)); time.sleep(60)" &
    until is_captured; do :; done
    kill $guard
    wait $guard
    nft list ruleset | cmp - before.nft
    cat guard.log
'
"#;
    let printed = run(&format!("{HOSTS}{script}"));
    assert!(printed.contains("no proxy has listened for too long"), "{printed}");
    assert!(printed.contains("captured again"), "{printed}");
}

#[test]
fn exclusions_that_have_no_reading_are_refused_and_change_nothing() {
    let script = r#"host web 10.0.0.12
inside web '
    for wrong in "--exclude-inbound-ports=ssh" "--exclude-outbound-ip-ranges=10.0.0.0/40" "--exclude-cgroup=../up" \
                 "--exclude-outbound-ports=1,70000" "--exclude-cgroup=no/such.slice"; do
        if leno node capture "$wrong" 2>&1; then exit 1; fi
        nft list ruleset | cmp - before.nft
    done
'
"#;
    let printed = run(&format!("{HOSTS}{script}"));
    for told in [
        "`ssh` is not a port",
        "`10.0.0.0/40` is not an address",
        "`../up` is not the path",
        "`70000`",
        "nft refused",
    ] {
        assert!(printed.contains(told), "{told} in {printed}");
    }
}

/// On both sides of a connection that is older than capture. The captured host speaks first then.
const TALK: &str = r#"import socket, subprocess, sys
if sys.argv[1] == "listen":
    s = socket.create_server(("0.0.0.0", 7000))
    print("listening", flush=True)
    c, _ = s.accept()
    print(c.recv(100), flush=True)
    subprocess.run(["leno", "node", "capture"], check=True)
    c.send(b"still here")
    print(c.recv(100), flush=True)
else:
    c = socket.create_connection(("10.0.0.12", 7000))
    c.send(b"hello")
    print(c.recv(100), flush=True)
    c.send(b"good bye")
"#;

/// Whoever is on a host by another way than SSH's port must not lose it either.
#[test]
fn connections_that_were_open_before_go_on_under_capture() {
    let script = format!(
        "{HOSTS}host control 10.0.0.11\nhost web 10.0.0.12\nprintf %s {} > talk.py\n{}",
        quoted(TALK),
        r#"inside web 'python3 ../talk.py listen > talked' &
listener=$!
inside control 'until grep -q listening ../web/talked 2> /dev/null; do :; done; python3 ../talk.py call'
wait $listener
cat web/talked
"#
    );
    let printed = run(&script);
    assert!(printed.contains("b'still here'") && printed.contains("b'good bye'"), "{printed}");
}

/// A terminal that is closed, and a keeper that is killed.
#[test]
fn a_host_stays_a_member_without_a_terminal_and_leaves_without_a_keeper() {
    let mut script = script(VMS);
    let leave = script.find("run web 'leno leave").expect("the page leaves");
    script.truncate(leave);
    script.push_str(
        r#"
inside web 'kill -HUP $(cat /run/leno/join.pid); curl -s http://api.default.svc.cluster.local/'
inside web 'proxy=$(pgrep -P $(cat /run/leno/join.pid)); kill -KILL $(cat /run/leno/join.pid)
    while [ -e /proc/$proxy ]; do :; done
    leno leave; nft list ruleset | cmp - before.nft; echo "left without a keeper"'
"#,
    );
    let printed = run(&script);
    assert!(printed.contains("left without a keeper"), "{printed}");
}
