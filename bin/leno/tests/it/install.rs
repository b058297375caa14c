//! The page on installing keeps its word: every block is run as it stands, on bare hosts; and what becomes of a host that
//! cannot join, or whose proxy is gone.

use crate::hosts::{Block, HOSTS, blocks, hosts, quoted, run};
use crate::readme::{README, is_as_shown};
use std::fmt::Write;

const VMS: &str = include_str!("../../../../docs/install-vms.md");

/// What the page does not tell of: a captured host reaches others outside the mesh over IPv6, too.
const OUTSIDE: &str = r#"
run control 'mkdir -p /srv/v6 && echo "hello over IPv6" > /srv/v6/index.html
python3 -m http.server 9000 --bind :: --directory /srv/v6 > /var/log/v6.log 2>&1 &'
run web 'curl -s -g --retry 5 --retry-all-errors "http://[fd00::11]:9000/"'
"#;

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
                    for (name, _) in hosts(page) {
                        let _ = writeln!(script, "evidence {name}");
                    }
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

#[test]
fn four_bare_hosts_become_a_mesh_and_part_again() {
    assert_eq!(hosts(VMS).len(), 4, "the page has no table of hosts");
    let outcome = run(&script(VMS));
    let printed = &outcome.printed;
    println!("{printed}");
    assert!(printed.matches("hello from api").count() >= 3, "{printed}");
    assert!(printed.contains("hello over IPv6"), "{printed}");
    readme_is_true(printed);
    outcome.has_no_key();
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
            None if line.starts_with("lg1.") => assert!(printed.contains("lg1."), "{printed}"),
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
         nft list ruleset | cmp - before.nft; [ ! -s /run/leno-join/join.pid ]\"\n",
        quoted(token)
    );
    run(&format!("{HOSTS}{try_it}")).printed
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
    let printed = run(&format!("{HOSTS}{script}")).printed;
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
    let printed = run(&format!("{HOSTS}{script}")).printed;
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
    let printed = run(&script).printed;
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
inside web 'kill -HUP $(cat /run/leno-join/join.pid); curl -s http://api.default.svc.cluster.local/'
inside web 'proxy=$(pgrep -P $(cat /run/leno-join/join.pid)); kill -KILL $(cat /run/leno-join/join.pid)
    while [ -e /proc/$proxy ]; do :; done
    leno leave; nft list ruleset | cmp - before.nft; echo "left without a keeper"'
"#,
    );
    let printed = run(&script).printed;
    assert!(printed.contains("left without a keeper"), "{printed}");
}

/// What the group's annotations say of capture reaches a host while it is a member, all rules at once; what has no reading
/// is refused where it was written, and changes nothing there.
#[test]
fn annotations_of_the_group_change_what_is_captured_on_its_hosts() {
    let mut script = script(VMS);
    let leave = script.find("run web 'leno leave").expect("the page leaves");
    script.truncate(leave);
    script.push_str(
        r#"
group() {
    printf 'apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: api}\nspec:\n' > control/group.yaml
    printf '  template: {serviceAccount: api}\n  metadata:\n    labels: {app: api}\n    annotations:\n' >> control/group.yaml
    printf '      traffic.sidecar.istio.io/%s\n' "$@" >> control/group.yaml
}
captured() { inside api "until nft list table inet leno | tr -d ' ' | grep -qF '$1'; do :; done"; }
group 'excludeInboundPorts: "9090"' 'excludeOutboundIPRanges: "192.0.2.0/24"'
inside control 'leno apply -f group.yaml --wait'
captured 'tcpdport{22,9090}return'
captured 'ipdaddr192.0.2.0/24return'
inside web 'curl -s http://api.default.svc.cluster.local/'
group 'includeInboundPorts: "22,8080"'
inside control 'leno apply -f group.yaml --wait'
captured 'tcpdport8080redirectto:15006'
inside api 'nft list table inet leno' > rules
grep -q 'dport 22 redirect' rules && exit 1
group 'excludeInboundPorts: ssh'
inside control 'leno apply -f group.yaml 2>&1 && exit 1; true'
inside api 'nft list table inet leno' | cmp - rules
inside api 'leno leave; nft list ruleset | cmp - before.nft; echo "left as it was"'
"#,
    );
    let printed = run(&script).printed;
    assert!(printed.contains("`ssh` is not a port"), "{printed}");
    assert!(printed.contains("group.yaml:9"), "{printed}");
    assert!(printed.contains("left as it was"), "{printed}");
}
