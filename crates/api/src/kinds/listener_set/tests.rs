use crate::parse::documents;

#[test]
fn fields_of_a_set_are_checked() {
    let check = |spec: &str, cause: &str| {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {{name: s}}\nspec: {spec}\n"
        );
        let (objects, findings) = documents(&text, "f.yaml");
        assert_eq!(objects.is_empty(), !cause.is_empty(), "{spec}: {findings:?}");
        assert!(cause.is_empty() || findings.iter().any(|f| f.cause.contains(cause)), "{spec}: {findings:?}");
    };
    let one = "{name: a, port: 80, protocol: HTTP}";
    check(&format!("{{parentRef: {{name: g}}, listeners: [{one}]}}"), "");
    check("{parentRef: {name: g}, listeners: []}", "is empty");
    check(
        &format!("{{parentRef: {{kind: Service, group: '', name: g}}, listeners: [{one}]}}"),
        "parent kind Service",
    );
    check(&format!("{{parentRef: {{name: g}}, listeners: [{one}, {one}]}}"), "occurs twice");
    check(
        &format!("{{parentRef: {{name: g}}, listeners: [{one}, {{name: b, port: 80, protocol: TCP}}]}}"),
        "another protocol",
    );
    let filters = "{name: a, port: 80, protocol: HTTP, filters: {requests: [{type: ExternalAuth}]}}";
    check(&format!("{{parentRef: {{name: g}}, listeners: [{filters}]}}"), "not supported");
}
