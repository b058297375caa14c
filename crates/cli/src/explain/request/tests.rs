#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! From files to an answer.

use super::{Request, run};
use crate::console::Console;
use clap::Parser;
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

const FILES: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: web, namespace: default}
spec: {metadata: {labels: {app: web}}, template: {serviceAccount: web}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: client, namespace: default}
spec: {metadata: {labels: {app: client}}, template: {serviceAccount: client}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-client, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules:
    - from: [{source: {serviceAccounts: [default/client]}}]
      to: [{operation: {paths: [/private*]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /}}]
      backendRefs: [{name: web, port: 80}]
";

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    request: Request,
}

#[derive(Clone, Default)]
struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn explained(line: &str) -> (i32, String) {
    explained_in(FILES, line)
}

/// Exit code and output for these arguments, without the file's directory.
fn explained_in(files: &str, line: &str) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.yaml");
    std::fs::write(&file, files).unwrap();
    let words = ["request", "-f", file.to_str().unwrap()];
    let args = Program::try_parse_from(words.into_iter().chain(line.split_whitespace())).unwrap();
    let out = Buffer::default();
    let mut console = Console::new(Box::new(out.clone()), Box::new(Buffer::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let running = run(&args.request, &mut console);
    let code = runtime.block_on(running).unwrap_or_else(|failure| failure.code);
    let text = String::from_utf8(out.0.borrow().clone()).unwrap();
    (code, text.replace(&format!("{}/", directory.path().display()), ""))
}

#[test]
fn a_request_is_followed_from_its_path_to_its_policy() {
    let url = "--to http://web.default.svc.cluster.local";
    let way = "route     rule 0 of HTTPRoute/web.default (web.yaml:33)\n\
               backend   100 % to web.default.svc.cluster.local:80\n";
    let denied =
        "at        default/web: denied by rule 0 of AuthorizationPolicy/no-client.default (web.yaml:17)\n";
    assert_eq!(
        explained(&format!("{url}/x/../private/a --from default/client")),
        (1, format!("path      /private/a\n{way}{denied}"))
    );
    let allowed = "at        default/web: allowed\n";
    assert_eq!(
        explained(&format!("{url}/public --from default/client")),
        (0, format!("path      /public\n{way}{allowed}"))
    );
}

#[test]
fn callers_of_a_namespace_with_a_route_of_its_own_follow_that_one() {
    let consumer = "
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: client, namespace: other}
spec: {metadata: {labels: {app: client}}, template: {serviceAccount: client}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: own, namespace: other}
spec:
  parentRefs: [{group: '', kind: Service, name: web, namespace: default}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {port: 81}}]}]
";
    let files = format!("{FILES}{consumer}");
    let line = |from: &str| format!("--to http://web.default.svc.cluster.local/ --from {from}");
    assert!(explained_in(&files, &line("other/client")).1.contains("HTTPRoute/own.other"));
    assert!(explained_in(&files, &line("default/client")).1.contains("HTTPRoute/web.default"));
}

/// Principals have the mesh's own trust domain in front.
#[test]
fn the_trust_domain_is_that_of_the_settings() {
    let settings = "
---
apiVersion: leno.dev/v1alpha1
kind: MeshSettings
metadata: {name: default}
spec: {trustDomain: shop.example}
";
    let files =
        FILES.replace("serviceAccounts: [default/client]", "principals: [shop.example/ns/default/sa/client]");
    let line = "--to http://web.default.svc.cluster.local/private --from default/client";
    assert_eq!(explained_in(&format!("{files}{settings}"), line).0, 1);
    assert_eq!(explained_in(&files, line).0, 0, "another trust domain");
}

#[test]
fn what_is_not_there_is_said() {
    for line in [
        "--to http://nobody.example/",
        "--to http://web.default.svc.cluster.local/ --from default/nobody",
        "--to http://web.default.svc.cluster.local/ --gateway default/edge",
        "--to /path",
    ] {
        assert_eq!(explained(line), (64, String::new()), "{line}");
    }
}

const EDGE: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec: {gatewayClassName: leno, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: edge, namespace: default}
spec: {metadata: {labels: {app: edge}}, template: {serviceAccount: edge}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: edge, namespace: default}
spec:
  parentRefs: [{name: edge}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /shop}}]
      filters:
        - type: URLRewrite
          urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /private}}
      backendRefs: [{name: web, port: 80}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: at-the-edge, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
  action: DENY
  rules:
    - to: [{operation: {paths: [/shop/admin*]}}]
    - from: [{source: {ipBlocks: [192.0.2.0/24]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-edge, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules:
    - from: [{source: {serviceAccounts: [default/edge]}}]
      to: [{operation: {paths: [/private/x]}}]
";

/// The gateway's own policies are asked of what the caller sent, the callee's of what the gateway makes of it.
#[test]
fn a_gateway_is_asked_first_and_its_backend_gets_the_rewritten_request() {
    let ask = |rest: &str| {
        let files = format!("{FILES}{EDGE}");
        explained_in(&files, &format!("--to http://any.example{rest} --gateway default/edge"))
    };
    let by = "AuthorizationPolicy/at-the-edge.default";
    let (code, text) = ask("/shop/a --ip 198.51.100.1");
    assert_eq!(code, 0, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["path      /shop/a", "gateway   default/edge: allowed"]);
    assert_eq!(lines[3], "sent      to any.example, path /private/a");
    assert_eq!(lines[5], "at        default/web: allowed");

    let (code, text) = ask("/shop/x --ip 198.51.100.1");
    assert!(code == 1 && text.contains("at        default/web: denied by rule 0 of"), "{text}");
    assert!(
        text.contains("AuthorizationPolicy/no-edge.default"),
        "the gateway calls, not its caller: {text}"
    );
    // What is judged at the edge is not judged behind it, and nothing is sent.
    for rest in ["/shop/admin --ip 198.51.100.1", "/shop/a --ip 192.0.2.1", "/shop/a", "/nowhere"] {
        let (code, text) = ask(rest);
        assert!(code == 1 && text.contains("gateway   default/edge: denied by rule"), "{rest}: {text}");
        assert!(text.contains(by) && text.contains("ends      403 rbac_access_denied"), "{rest}: {text}");
        assert!(!text.contains("backend") && !text.contains("default/web"), "{rest}: {text}");
    }
}

/// Who enters from outside has proved nothing, and a file is no running control plane.
#[test]
fn what_excludes_each_other_is_refused() {
    for line in ["-f x --server http://127.0.0.1:1", "-f x --from default/a --gateway default/b"] {
        let line = format!("request --to http://a/ {line}");
        assert!(Program::try_parse_from(line.split_whitespace()).is_err(), "{line}");
    }
}

#[test]
fn the_policies_of_which_none_matches_are_named() {
    let files = FILES.replace("action: DENY", "action: ALLOW");
    let (code, text) =
        explained_in(&files, "--to http://web.default.svc.cluster.local/ --from default/client");
    let denied =
        "denied: none of the ALLOW policies matches: AuthorizationPolicy/no-client.default (web.yaml:17)";
    assert!(code == 1 && text.contains(denied), "{text}");
}

/// As the proxy answers: without a look at routes and policies.
#[test]
fn a_path_that_is_to_be_asked_for_without_its_encoded_slashes_is_redirected() {
    let settings = "
---
apiVersion: leno.dev/v1alpha1
kind: MeshSettings
metadata: {name: default}
spec: {pathNormalization: {pathWithEscapedSlashesAction: UNESCAPE_AND_REDIRECT}}
";
    let line = "--to http://web.default.svc.cluster.local/private%2Fa?b --from default/client";
    let ends = "path      /private/a\nends      307: redirected to /private/a?b\n";
    assert_eq!(explained_in(&format!("{FILES}{settings}"), line), (0, ends.into()));
    let (code, text) =
        explained_in(&format!("{FILES}{settings}"), &format!("{line} -H content-type:application/grpc"));
    assert!(code == 1 && text.contains("ends      400"), "{text}");
}

/// The original caller is the one that the gateway believes, there and behind it.
#[test]
fn the_original_caller_is_judged_at_the_gateway_and_behind_it() {
    let policies = "
---
apiVersion: leno.dev/v1alpha1
kind: MeshSettings
metadata: {name: default}
spec: {httpConnectionManager: {xffNumTrustedHops: 1}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec: {gatewayClassName: leno, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: edge, namespace: default}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: edge, namespace: default}
spec: {metadata: {labels: {app: edge}}, template: {serviceAccount: edge}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: at-the-edge, namespace: default}
spec:
  targetRefs: [{kind: Gateway, name: edge, group: gateway.networking.k8s.io}]
  action: DENY
  rules: [{from: [{source: {remoteIpBlocks: [203.0.113.1]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: behind-it, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules: [{when: [{key: remote.ip, values: [203.0.113.2]}]}]
";
    let ask = |client: &str| {
        let line = "--to http://any.example/ --gateway default/edge --ip 198.51.100.1 -H x-forwarded-for:";
        explained_in(&format!("{FILES}{policies}"), &format!("{line}{client}"))
    };
    let (code, text) = ask("203.0.113.1");
    assert!(code == 1 && text.contains("gateway   default/edge: denied"), "{text}");
    let (code, text) = ask("203.0.113.2");
    assert!(code == 1 && text.contains("at        default/web: denied"), "{text}");
    assert_eq!(ask("203.0.113.3").0, 0);
    let files = format!("{FILES}{policies}");
    let line = "--to http://web.default.svc.cluster.local/ --from default/client --ip 10.0.0.1";
    assert_eq!(explained_in(&files, line).0, 0);
    let (code, text) = explained_in(&files, &format!("{line} -H x-forwarded-for:203.0.113.2"));
    assert!(code == 1 && text.contains("at        default/web: denied"), "{text}");
}

/// Whoever has a proxy speaks what the callee takes; who has none is let in where plaintext is, as nobody.
#[test]
fn what_a_callee_takes_is_told_with_who_says_so() {
    let url = "--to http://web.default.svc.cluster.local/private";
    let with = |mode: &str| {
        format!(
            "{FILES}---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: web, namespace: default}}\n\
             spec: {{selector: {{matchLabels: {{app: web}}}}, portLevelMtls: {{8080: {{mode: {mode}}}}}}}\n"
        )
    };
    let at = |files: &str, line: &str| {
        let (code, text) = explained_in(files, &format!("{url} {line}"));
        (
            code,
            text.lines()
                .skip_while(|line| !line.starts_with("backend"))
                .skip(1)
                .collect::<Vec<_>>()
                .join("\n"),
        )
    };
    let mode = |mode: &str| {
        format!("mtls      default/web, port 8080: {mode} by PeerAuthentication/web.default (web.yaml:39)\n")
    };
    let allowed = "at        default/web: allowed";
    let denied =
        "at        default/web: denied by rule 0 of AuthorizationPolicy/no-client.default (web.yaml:17)";
    let refused = "at        default/web: plaintext_refused: ";
    for (files, line, code, said, verdict) in [
        (FILES.to_owned(), "--plaintext", 1, String::new(), refused),
        (with("STRICT"), "--plaintext", 1, mode("STRICT"), refused),
        (with("PERMISSIVE"), "--plaintext", 0, mode("PERMISSIVE"), allowed),
        (with("PERMISSIVE"), "--from default/client", 1, mode("PERMISSIVE"), denied),
        (with("DISABLE"), "--plaintext", 0, mode("DISABLE"), allowed),
        (with("DISABLE"), "--from default/client", 0, mode("DISABLE"), allowed),
    ] {
        let (found, text) = at(&files, line);
        assert!(found == code && text.starts_with(&format!("{said}{verdict}")), "{line}: {found} {text}");
    }
}
