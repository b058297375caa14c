use crate::parse::documents;

#[test]
fn fields_of_a_route_are_checked() {
    let check = |spec: &str, line: u32, cause: &str| {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {{name: r}}\nspec:\n{spec}\n"
        );
        let (objects, findings) = documents(&text, "f.yaml");
        if cause.is_empty() {
            assert!(findings.is_empty() && objects.len() == 1, "{spec}: {findings:?}");
            return;
        }
        let told = findings.iter().any(|f| f.origin.line == line && f.cause.contains(cause));
        assert!(told && objects.is_empty(), "{spec}: {findings:?}");
    };
    check("  rules: [{backendRefs: [{name: s, port: 80, weight: 0}]}]", 0, "");
    check(
        "  parentRefs: [{name: g, sectionName: db}]\n  rules: [{backendRefs: [{name: s, port: 80}]}]",
        0,
        "",
    );
    check("  parentRefs: []", 4, "`spec.rules` is empty");
    check("  rules:\n  - name: a", 6, "`spec.rules[0].backendRefs` is empty");
    check("  rules:\n  - backendRefs:\n    - name: s", 7, "`spec.rules[0].backendRefs[0].port` is missing");
    check("  rules:\n  - backendRefs: [{name: s, port: 1, weight: 1000001}]", 6, "more than 1000000");
    check(
        "  rules:\n  - backendRefs: [{name: s, port: 1}]\n  - backendRefs: [{name: s, port: 1}]",
        5,
        "only the first would ever be followed",
    );
    check("  rules: [{backendRefs: [{name: s, port: 1}], matches: []}]", 5, "unknown field");
}
