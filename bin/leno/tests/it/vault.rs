//! Vault as the issuer: a real server, built from its Go module (`testbed/vault`), which takes minutes the first time.
//! So these tests are run when they are asked for: `make vault`.

use crate::bare::{BareHost, BareProgram};
use crate::demo::{LENO, text};
use crate::hosts::{HOSTS, quoted, run};
use crate::issuers::{join, on_ports, publics, scan};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = include_str!("../../../../docs/issuers.md");
const ISSUER: &str = "vault:https://127.0.0.1:8200/pki";

/// The server, built if it is not there yet.
fn server() -> PathBuf {
    let target = Path::new(LENO).ancestors().nth(2).expect("the target directory");
    let binary = target.join("vault-1.14.0");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testbed/vault");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&binary).arg(".").current_dir(source);
    let built = go.output().expect("go is installed");
    assert!(built.status.success(), "{}", text(&built));
    binary
}

/// Those of the documentation: of the cluster west, and of the management plane.
fn policies() -> [&'static str; 2] {
    let policies: Vec<&str> =
        PAGE.split("```hcl\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    policies.try_into().expect("two policies in the documentation")
}

/// A host with Vault on it.
struct VaultHost {
    host: BareHost,
    server: BareProgram,
    token: String,
}

impl VaultHost {
    fn start() -> Self {
        let host = BareHost::start();
        host.shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=vault \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout /run/vault.key -out /run/vault.crt 2>/dev/null",
        );
        let binary = server();
        let binary = binary.to_str().expect("a path");
        let files = ["-tls-cert", "/run/vault.crt", "-tls-key", "/run/vault.key"];
        let server = host.spawn_program(&[&[binary, "-listen", "127.0.0.1:8200"], &files[..]].concat());
        server.wait_for("\"token\"");
        let log = server.log();
        let line = log.lines().find(|line| line.contains("\"token\"")).expect("a line");
        let line: Value = serde_json::from_str(line).expect("JSON");
        let token = line["token"].as_str().expect("a token").to_owned();
        Self { host, server, token }
    }

    /// A call with the root token; its answer.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let script = format!(
            "curl -sS --fail-with-body --retry 20 --retry-connrefused --max-time 20 --cacert /run/vault.crt -X {method} \
             -H 'X-Vault-Token: {}' -d '{body}' https://127.0.0.1:8200/v1/{path}",
            self.token
        );
        serde_json::from_slice(&self.host.shell(&script)).unwrap_or_default()
    }

    /// As the documentation says.
    fn set_up(&self) {
        self.call("POST", "sys/mounts/pki", &json!({"type": "pki", "config": {"max_lease_ttl": "87600h"}}));
        let root = json!({"common_name": "Shop Root", "ttl": "87600h", "key_type": "ec", "key_bits": 256});
        self.call("POST", "pki/root/generate/internal", &root);
        // So that renewals happen while the test looks.
        self.call(
            "POST",
            "sys/mounts/pki/tune",
            &json!({"max_lease_ttl": "60s", "default_lease_ttl": "60s"}),
        );
        let manager = json!({
            "require_cn": false, "use_csr_sans": false, "use_csr_common_name": false, "key_type": "ec", "key_bits": 256, "max_ttl": "720h",
            "allowed_uri_sans": "spiffe://shop.example/ns/leno-system/sa/manager",
        });
        self.call("POST", "pki/roles/leno-manager", &manager);
        let [west, manager] = policies();
        self.call("PUT", "sys/policies/acl/leno-west", &json!({ "policy": west }));
        self.call("PUT", "sys/policies/acl/leno-manager", &json!({ "policy": manager }));
        self.call("POST", "sys/auth/approle", &json!({"type": "approle"}));
        let role = json!({"token_policies": "leno-west", "token_ttl": "4s", "secret_id_num_uses": 1});
        self.call("POST", "auth/approle/role/west", &role);
    }

    /// Id and secret of the AppRole; the secret is good for one login.
    fn app_role(&self) -> (String, String) {
        let id = self.call("GET", "auth/approle/role/west/role-id", &json!({}));
        let secret = self.call("POST", "auth/approle/role/west/secret-id", &json!({}));
        let field = |answer: &Value, name: &str| answer["data"][name].as_str().expect("a field").to_owned();
        (field(&id, "role_id"), field(&secret, "secret_id"))
    }

    fn plane(&self, words: &[&str], input: &[u8]) -> BareProgram {
        let vault =
            ["--issuer", ISSUER, "--trust-domain", "shop.example", "--vault-ca-file", "/run/vault.crt"];
        // A later `--issuer` would be told as a second one.
        let vault = if words.contains(&"--issuer") { &vault[2..] } else { &vault[..] };
        self.host.spawn(&[words, vault].concat(), input)
    }
}

#[test]
#[ignore = "builds Vault, which takes minutes the first time: make vault"]
fn vault_signs_intermediates_whose_keys_it_never_sees() {
    let vault = VaultHost::start();
    vault.set_up();
    let (role_id, secret_id) = vault.app_role();
    let login = ["--vault-role-id", &role_id, "--vault-secret-id-file", "-"];
    let west = ["control", "--cluster", "west", "--state-dir", "/run/leno/west"];
    let west = vault.plane(&[&west[..], &login[..]].concat(), secret_id.as_bytes());
    west.wait_for("control plane runs");
    let proxy = join(&vault.host);

    // The policy binds the login to its cluster.
    let token = vault.call("POST", "auth/token/create", &json!({"policies": ["leno-west"]}));
    let token = token["auth"]["client_token"].as_str().expect("a token").to_owned();
    let east = ["control", "--cluster", "east", "--state-dir", "/run/leno/east", "--vault-token-file", "-"];
    let ports = on_ports(15200);
    let ports = ports.each_ref().map(String::as_str);
    let east = vault.plane(&[&east[..], &ports[..]].concat(), token.as_bytes());
    east.wait_for("Vault answered 403 to pki/root/sign-intermediate");

    // The management plane has a leaf of the root itself.
    let token = vault.call("POST", "auth/token/create", &json!({"policies": ["leno-manager"]}));
    let token = token["auth"]["client_token"].as_str().expect("a token").to_owned();
    let issuer = format!("{ISSUER}?role=leno-manager");
    let manager =
        ["manager", "--state-dir", "/run/leno/manager", "--issuer", &issuer, "--vault-token-file", "-"];
    let ports = on_ports(15300);
    let ports = ports.each_ref().map(String::as_str);
    let manager = vault.plane(&[&manager[..], &ports[..]].concat(), token.as_bytes());
    manager.wait_for("management plane runs");

    // The login lasts 4 s and its secret is spent: renewing works because the login was renewed.
    west.wait_for("signing certificate renewed");
    let publics = publics(&vault.host);
    scan(&vault.host, &[&west, &proxy, &manager, &vault.server], publics);
    for program in [&west, &manager] {
        assert!(!program.log().contains(&secret_id) && !program.log().contains(&token), "a secret in a log");
    }

    // Vault goes away: what is in force stays, and how long is told.
    let VaultHost { host, server, .. } = vault;
    drop(server);
    west.wait_for("the last one, for another");
    assert!(
        west.log().contains("reach the holder of the root at vault:https://127.0.0.1:8200"),
        "{}",
        west.log()
    );
    let status = String::from_utf8_lossy(&host.leno(&["status"]).stdout).into_owned();
    assert!(status.contains("SYNCED"), "{status}");
}

/// The hosts of two clusters, their management plane and Vault.
const CLUSTERS: [(&str, &str); 9] = [
    ("vault", "10.0.0.5"),
    ("manager", "10.0.0.6"),
    ("control-west", "10.0.0.11"),
    ("web", "10.0.0.12"),
    ("gateway-west", "10.0.0.13"),
    ("api-west", "10.0.0.15"),
    ("control-east", "10.0.0.21"),
    ("gateway-east", "10.0.0.23"),
    ("api-east", "10.0.0.25"),
];

/// Vault, and logins for all planes.
const VAULT: &str = r#"
inside vault 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=vault \
    -addext subjectAltName=IP:10.0.0.5 -addext basicConstraints=critical,CA:FALSE -keyout vault.key -out vault.crt 2> /dev/null
    $VAULT_BIN -listen 10.0.0.5:8200 -tls-cert vault.crt -tls-key vault.key > vault.log 2>&1 &
    until grep -q "\"token\"" vault.log 2> /dev/null; do sleep 0.1; done'
field() { python3 -c 'import json, sys
at = json.loads(next(line for line in sys.stdin if line.startswith("{")))
for name in sys.argv[1].split("."): at = at[name]
print(at)' "$1"; }
VAULT=$(field token < vault/vault.log)
call() { inside vault "curl -sS --fail-with-body --retry 20 --retry-connrefused --max-time 20 --cacert vault.crt -X $1 \
    -H 'X-Vault-Token: $VAULT' -d '$3' https://10.0.0.5:8200/v1/$2"; }
call POST sys/mounts/pki '{"type": "pki", "config": {"max_lease_ttl": "87600h"}}'
call POST pki/root/generate/internal '{"common_name": "Shop Root", "ttl": "87600h", "key_type": "ec", "key_bits": 256}' > /dev/null
call POST sys/mounts/pki/tune '{"max_lease_ttl": "60s", "default_lease_ttl": "60s"}'
call POST pki/roles/leno-manager '{"require_cn": false, "use_csr_sans": false, "use_csr_common_name": false, "key_type": "ec",
    "key_bits": 256, "max_ttl": "720h", "allowed_uri_sans": "spiffe://shop.example/ns/leno-system/sa/manager"}' > /dev/null
call POST sys/auth/approle '{"type": "approle"}'
for cluster in west east; do
    call POST auth/approle/role/$cluster "{\"token_policies\": \"leno-$cluster\", \"secret_id_num_uses\": 1}"
done
"#;

/// Two clusters of the same services, in networks of their own, with a gateway between them.
const PLANES: &str = r#"
ASK="--trust-domain shop.example --vault-ca-file ../vault/vault.crt --state-dir /var/lib/leno"
export MANAGER_TOKEN=$(call POST auth/token/create '{"policies": ["leno-manager"]}' | field auth.client_token)
inside manager "leno manager --issuer 'vault:https://10.0.0.5:8200/pki?role=leno-manager' --vault-token-file - $ASK \
    > /var/log/leno.log 2>&1 <<< \"\$MANAGER_TOKEN\" &
    until [ -S /run/leno/manager.sock ]; do sleep 0.1; done"
plane() {
    ROLE=$(call GET auth/approle/role/$1/role-id '{}' | field data.role_id)
    export SECRET=$(call POST auth/approle/role/$1/secret-id '{}' | field data.secret_id)
    inside control-$1 "leno control --cluster $1 --issuer vault:https://10.0.0.5:8200/pki --vault-role-id $ROLE \
        --vault-secret-id-file - --manager 10.0.0.6:15012 $ASK > /var/log/leno.log 2>&1 <<< \"\$SECRET\" &
        until leno status > /dev/null 2>&1; do sleep 0.1; done"
    sed "s/CLUSTER/$1/; s/GATEWAY/$2/" mesh.yaml > control-$1/mesh.yaml
    inside control-$1 'leno apply -f mesh.yaml'
}
token() { inside control-$1 "leno token create $2" | grep -Eo '^lj1\.[^ ]+'; }
gateway() {
    export TOKEN=$(token $1 east-west)
    inside gateway-$1 "leno proxy --control $2:15012 --join-token-file - --no-capture > /var/log/leno.log 2>&1 <<< \"\$TOKEN\" &
        until curl -sf http://127.0.0.1:15000/ready > /dev/null; do sleep 0.1; done"
}
member() {
    export TOKEN=$(token $2 $3)
    inside $1 "leno join - --control $4:15012 > /var/log/leno-join.log 2>&1 <<< \"\$TOKEN\" &
        until nft list table inet leno > /dev/null 2>&1; do sleep 0.1; done"
}
api() {
    inside api-$1 "mkdir /srv/api; echo hello from $1 > /srv/api/index.html
        python3 -m http.server 8080 --directory /srv/api > /var/log/api.log 2>&1 &"
    member api-$1 $1 api $2
}
plane west 10.0.0.13
plane east 10.0.0.23
gateway west 10.0.0.11
gateway east 10.0.0.21
api west 10.0.0.11
api east 10.0.0.21
member web west web 10.0.0.11
"#;

/// What becomes of a call in each state of the clusters.
const FAILOVER: &str = r#"
answered() { inside web "until curl -s --max-time 5 http://api.mesh.internal/ | grep 'hello from $1'; do sleep 0.2; done"; }
answered west
inside control-west 'until leno status; do sleep 0.2; done'
inside api-west 'leno leave'
answered east
member api-west west api 10.0.0.11
answered west
inside api-west 'ip link set eth0 down'
answered east
inside control-west 'until grep "signing certificate renewed" /var/log/leno.log; do sleep 0.5; done'
answered east
"#;

const MESH: &str = "apiVersion: leno.dev/v1alpha1
kind: Cluster
metadata: {name: CLUSTER}
spec: {type: Hosts, network: CLUSTER, region: eu-CLUSTER, zone: eu-CLUSTER-1, gateways: [GATEWAY]}
---
apiVersion: leno.dev/v1alpha1
kind: MeshSettings
metadata: {name: default}
spec:
  trustDomain: shop.example
  dns: {suffixes: [mesh.internal]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: east-west, namespace: default}
spec:
  gatewayClassName: leno-east-west
  listeners: [{name: mesh, protocol: HBONE, port: 15008}]
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: default}
spec:
  selector: {app: api}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: leno.dev/v1alpha1
kind: GlobalService
metadata: {name: api, namespace: default}
spec:
  hosts: [api.mesh.internal]
  backends: [{service: {name: api}}]
";

#[test]
#[ignore = "builds Vault, which takes minutes the first time: make vault"]
fn two_clusters_whose_root_is_in_vault_fail_over_to_one_another() {
    let mut script = format!("export VAULT_BIN={}\n{HOSTS}", quoted(server().to_str().expect("a path")));
    for (name, address) in CLUSTERS {
        let _ = writeln!(script, "host {name} {address}");
    }
    script.push_str(VAULT);
    let [west, manager] = policies();
    let all =
        [("west", west.to_owned()), ("east", west.replace("west", "east")), ("manager", manager.to_owned())];
    for (name, policy) in all {
        let body = quoted(&json!({ "policy": policy }).to_string());
        let _ = writeln!(script, "call PUT sys/policies/acl/leno-{name} {body}");
    }
    let groups = ["east-west", "api", "web"].map(|name| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: {name}, namespace: default}}\n\
             spec:\n  metadata: {{labels: {{app: {name}}}}}\n  template: {{serviceAccount: {name}}}\n"
        )
    });
    let _ = writeln!(script, "printf %s {} > mesh.yaml", quoted(&format!("{MESH}{}", groups.concat())));
    script.push_str(PLANES);
    script.push_str(FAILOVER);
    for (name, _) in CLUSTERS {
        let _ = writeln!(script, "evidence {name}");
    }
    let outcome = run(&script);
    println!("{}", outcome.printed);
    outcome.has_no_key();
}
