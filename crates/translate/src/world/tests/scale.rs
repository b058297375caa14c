//! What grows with the number of objects, and must not grow with its square.

use super::*;

/// So many services, each with its group and a policy.
fn shops(count: usize, policy: impl Fn(usize) -> String) -> World {
    let mut text = String::new();
    for n in 0..count {
        text.push_str(&format!(
            "apiVersion: v1
kind: Service
metadata: {{name: shop-{n}, namespace: a}}
spec: {{selector: {{app: shop-{n}}}, ports: [{{name: http, port: 80, targetPort: 8080}}, {{name: tcp-db, port: 5432}}]}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {{name: shop-{n}, namespace: a}}
spec: {{metadata: {{labels: {{app: shop-{n}}}}}, template: {{}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: p-{n}, namespace: a}}
spec: {}
---
",
            policy(n)
        ));
    }
    world(&text)
}

/// When each of them looked at all of them, this took minutes, and hours with a thousand.
#[test]
fn many_policies_for_many_services_are_looked_at_once_each() {
    const COUNT: usize = 200;
    let found = |policy: fn(usize) -> String| {
        let findings = shops(COUNT, policy).findings();
        (findings.len(), findings.first().map(|finding| finding.cause.clone()).unwrap_or_default())
    };
    let (count, cause) = found(|_| "{action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]}".into());
    assert!(count == COUNT && cause.contains("5432 of WorkloadGroup/shop-0.a"), "{count}: {cause}");
    assert!(cause.contains("and 195 more is TCP"), "{cause}");
    let (count, cause) = found(|_| "{rules: [{to: [{operation: {paths: [/a]}}]}]}".into());
    assert!(count == COUNT && cause.contains("and 195 more is TCP"), "{count}: {cause}");
    let (count, cause) = found(|n| {
        format!(
            "{{selector: {{matchLabels: {{app: shop-{n}}}}}, rules: [{{to: [{{operation: {{paths: [/a]}}}}]}}]}}"
        )
    });
    assert!(
        count == COUNT && cause.contains("port 5432 of WorkloadGroup/shop-0.a is TCP"),
        "{count}: {cause}"
    );
    let (count, cause) = found(|n| {
        format!(
            "{{selector: {{matchLabels: {{app: shop-{n}}}}}, rules: [{{to: [{{operation: {{ports: ['5432']}}}}]}}]}}"
        )
    });
    assert_eq!((count, cause.as_str()), (0, ""));
}
