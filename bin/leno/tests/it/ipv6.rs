//! Hosts of either family and of both call one another by names of the mesh: over IPv6, in mutual TLS, by both mesh-only
//! addresses, and an application that listens on loopback alone.

use crate::hosts::{HOSTS, run};

/// `control` and `web` have both families, `api` and `tool` only IPv6. Their name server is anybody: capture takes the query.
const MESH: &str = r#"
host control 10.0.0.11
host web 10.0.0.12
host api 10.0.0.13
host tool 10.0.0.14
for host in api tool; do
    inside $host 'ip -4 address flush dev eth0; echo nameserver fd00::11 > resolv.conf
        mount --bind resolv.conf /etc/resolv.conf; ! ip -4 route | grep .'
done
for host in web tool; do inside $host 'ip -6 route add default via fd00::11'; done

inside control '
    leno root > root.log 2>&1 &
    until [ -S /run/leno/root.sock ]; do sleep 0.1; done
    leno control --cluster west --issuer unix:/run/leno/root.sock --state-dir /var/lib/leno > control.log 2>&1 &
    until leno status > /dev/null 2>&1; do sleep 0.1; done
    for group in web api tool; do
        printf "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: %s}\nspec:\n  metadata: {labels: {app: %s}}\n  template: {serviceAccount: %s}\n---\n" $group $group $group
    done > mesh.yaml
    cat >> mesh.yaml << END
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
END
    leno apply -f mesh.yaml'
join() {
    run control "leno token create $1" > /dev/null
    inside $1 "leno join - --control $2 -- --access-log access.log ${3:-} <<< \"$TOKEN\" > join.log 2>&1 &
        until nft list table inet leno > /dev/null 2>&1; do sleep 0.1; done"
}
serve() { inside $1 "mkdir site; echo hello from $1 > site/index.html; python3 -m http.server 8080 --bind $2 --directory site > app.log 2>&1 &"; }
serve api ::1
serve web 127.0.0.1
join api '[fd00::11]:15012'
join tool '[fd00::11]:15012'
# Nobody is at the first of these: the other one is tried beside it.
inside web 'printf "fd00::99 control.test\n10.0.0.11 control.test\n" > hosts; mount --bind hosts /etc/hosts'
join web control.test:15012 '--address fd00::12 --address 10.0.0.12'
"#;

/// Over which family the application calls is its own affair; how the proxies speak to one another, theirs.
const CALLS: &str = r#"
call() { inside $1 "curl -s --retry 5 --retry-all-errors $2 http://$3.default.svc.cluster.local/" | sed "s/^/$1 $2: /"; }
call web -4 api
call web -6 api
call tool -6 api
call tool -6 web
inside web 'getent ahostsv6 api.default.svc.cluster.local | head -1'
inside api 'until [ $(grep -c inbound access.log) = 3 ]; do sleep 0.1; done; grep inbound access.log'
"#;

/// Every word is one of the printed line.
fn has_line(printed: &str, words: &[&str]) -> bool {
    printed.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn hosts_of_either_family_call_one_another_by_names_of_the_mesh() {
    let printed = run(&format!("{HOSTS}{MESH}{CALLS}")).printed;
    println!("{printed}");
    for line in [
        "web -4: hello from api",
        "web -6: hello from api",
        "tool -6: hello from api",
        "tool -6: hello from web",
    ] {
        assert!(has_line(&printed, &[line]), "{line}");
    }
    assert!(has_line(&printed, &["fd4c:656e:6f00::f"]), "the address of the service");
    let at = "\"upstream_host\":\"[fd00::13]:8080\"";
    for (caller, from) in [("web", "[fd00::12]:"), ("tool", "[fd00::14]:")] {
        let principal = format!("\"source_principal\":\"spiffe://cluster.local/ns/default/sa/{caller}\"");
        assert!(has_line(&printed, &[&principal, at, from]), "{caller} is known by its certificate");
    }
}

/// Lists of what is captured leave out the mesh; then its prefix changes; then that is excluded.
const CAPTURE: &str = r#"
group() {
    printf 'apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: web}\nspec:\n  metadata:\n    labels: {app: web}\n' > control/group.yaml
    printf '    annotations: {"traffic.sidecar.istio.io/%s": "%s"}\n  template: {serviceAccount: web}\n' $1 $2 >> control/group.yaml
    inside control 'leno apply -f group.yaml --wait'
}
captured() { inside web "until nft list table inet leno | grep -qF '$1'; do :; done"; }
call() { inside web "curl -s --retry 5 --retry-all-errors $2 http://api.default.svc.cluster.local/" | sed "s/^/$1 $2: /"; }
group includeOutboundIPRanges 192.0.2.0/24
captured 192.0.2.0/24
call included -4
call included -6
inside control 'cat > settings.yaml << END
apiVersion: leno.dev/v1alpha1
kind: MeshSettings
metadata: {name: default}
spec: {dns: {ipv6Prefix: "fd12:3456:789a::/48"}}
END
leno apply -f settings.yaml --wait'
captured fd12:3456:789a::/48
inside web 'until getent ahostsv6 api.default.svc.cluster.local | grep -q fd12:; do :; done'
call moved -6
group excludeOutboundIPRanges fd12::/16
captured fd12::/16
inside web '! getent ahostsv6 api.default.svc.cluster.local | grep fd12:'
call excluded -4
"#;

#[test]
fn addresses_of_the_mesh_are_captured_or_not_told() {
    let printed = run(&format!("{HOSTS}{MESH}{CAPTURE}")).printed;
    println!("{printed}");
    for line in ["included -4", "included -6", "moved -6", "excluded -4"] {
        assert!(has_line(&printed, &[&format!("{line}: hello from api")]), "{line}");
    }
}

/// Addresses of IPv6 in a policy; and a host that loses its way to them has only the other address.
const POLICY: &str = r#"
inside control '
    cat > policy.yaml << END
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  action: DENY
  rules: [{from: [{source: {ipBlocks: ["fd00::e/127", "fd00::14"]}}]}]
END
    leno apply -f policy.yaml --wait'
code() { inside $1 "curl -s -o /dev/null -w '%{http_code}\n' http://api.default.svc.cluster.local/" | sed "s/^/$1: /"; }
code web
code tool
inside web '
    ip -6 route del default
    ! getent ahostsv6 api.default.svc.cluster.local | grep fd4c
    curl -s http://api.default.svc.cluster.local/ | sed "s/^/without a route: /"'
"#;

#[test]
fn policies_know_addresses_of_ipv6_and_a_host_without_a_route_is_not_led_to_them() {
    let printed = run(&format!("{HOSTS}{MESH}{POLICY}")).printed;
    println!("{printed}");
    for line in ["web: 200", "tool: 403", "without a route: hello from api"] {
        assert!(has_line(&printed, &[line]), "{line}");
    }
}
