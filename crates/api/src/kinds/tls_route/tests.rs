use crate::parse::documents;

#[test]
fn server_names_and_one_rule_are_needed() {
    let check = |spec: &str, cause: &str| {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {{name: r}}\nspec: {{{spec}}}\n"
        );
        let (objects, findings) = documents(&text, "f.yaml");
        if cause.is_empty() {
            assert!(findings.is_empty() && objects.len() == 1, "{spec}: {findings:?}");
            return;
        }
        assert!(
            findings.iter().any(|f| f.cause.contains(cause)) && objects.is_empty(),
            "{spec}: {findings:?}"
        );
    };
    let rule = "rules: [{backendRefs: [{name: s, port: 443}]}]";
    check(&format!("hostnames: [a.example, '*.b.example'], {rule}"), "");
    check(rule, "`spec.hostnames` is empty");
    check(&format!("hostnames: [10.0.0.1], {rule}"), "cannot be `10.0.0.1`");
    check(&format!("hostnames: ['*'], {rule}"), "cannot be `*`");
    check("hostnames: [a.example]", "`spec.rules` is empty");
}
