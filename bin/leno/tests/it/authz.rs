//! Truth 9: an AuthorizationPolicy denies live, and the access log names it.

use crate::demo::{Demo, wait_until};

const URL: &str = "http://purchase-history.mesh.internal/";
const POLICY: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: no-clients
  namespace: default
spec:
  selector:
    matchLabels:
      app: purchase-history
  action: DENY
  rules:
  - from:
    - source:
        principals: [leno.demo/ns/default/sa/client]
";

#[test]
fn t09_a_denied_caller_gets_403_and_the_log_names_the_policy() {
    let demo = Demo::start("t09");
    // The control run: without the policy the call is served.
    assert_eq!(demo.curl("west/client", &[URL]).0, 200);
    demo.change("west", "purchase-history", || demo.configure("west", "policy.yaml", Some(POLICY)));
    for _ in 0..20 {
        let (status, body) = demo.curl("west/client", &[URL]);
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("RBAC: access denied"), "{body}");
    }
    // Others are not.
    let chain = demo.answer("west/client", &["http://web-api.mesh.internal/"]);
    assert_eq!(chain.hops.len(), 3, "{chain:?}");

    let denied = || {
        let log = demo.access_log("west/purchase-history").into_iter();
        log.filter(|line| line["response_code"] == 403).collect::<Vec<_>>()
    };
    // The log is written by a thread of its own.
    wait_until("all denials are in the access log", || denied().len() >= 20);
    assert_eq!(denied().len(), 20);
    for line in denied() {
        assert_eq!(line["policy"], "default/no-clients", "{line}");
        assert_eq!(line["source_principal"], "spiffe://leno.demo/ns/default/sa/client");
        assert_eq!(line["response_flags"], "RBAC");
    }
    // Live in the other direction too.
    demo.change("west", "purchase-history", || demo.configure("west", "policy.yaml", None));
    for _ in 0..20 {
        assert_eq!(demo.curl("west/client", &[URL]).0, 200, "the client is served again");
    }
}
