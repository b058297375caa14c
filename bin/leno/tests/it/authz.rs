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
    demo.configure("west", "policy.yaml", Some(POLICY));
    wait_until("the client is denied", || demo.curl("west/client", &[URL]).0 == 403);
    let (_, body) = demo.curl("west/client", &[URL]);
    assert!(body.contains("RBAC: access denied"), "{body}");
    // Others are not.
    let chain = demo.answer("west/client", &["http://web-api.mesh.internal/"]);
    assert_eq!(chain.hops.len(), 3, "{chain:?}");

    let log = demo.access_log("west/purchase-history");
    let denied: Vec<_> = log.iter().filter(|line| line["response_code"] == 403).collect();
    assert!(!denied.is_empty(), "the denial is in the access log");
    for line in denied {
        assert!(line["policy"].as_str().is_some_and(|policy| policy.contains("no-clients")), "{line}");
        assert_eq!(line["source_principal"], "spiffe://leno.demo/ns/default/sa/client");
        assert_eq!(line["response_flags"], "RBAC");
    }
    // Live in the other direction too.
    demo.configure("west", "policy.yaml", None);
    wait_until("the client is served again", || demo.curl("west/client", &[URL]).0 == 200);
}
