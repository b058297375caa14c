//! Vault as the issuer: a real server, built from its Go module (`testbed/vault`), which takes minutes the first time.
//! So these tests are run when they are asked for: `make vault`.

use crate::bare::{BareHost, BareProgram};
use crate::demo::{LENO, text};
use crate::issuers::{join, on_ports, publics, scan};
use serde_json::{Value, json};
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
        let policies: Vec<&str> =
            PAGE.split("```hcl\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
        let [west, manager] = policies.as_slice() else { panic!("two policies in the documentation") };
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
