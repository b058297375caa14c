use crate::parse::documents;

const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  rules:
    - ";

#[test]
fn fields_of_a_route_are_checked() {
    let bad = |text: &str, line: u32, cause: &str| {
        let (objects, findings) =
            documents(&format!("{ROUTE}{}\n", text.replace('\n', "\n      ")), "f.yaml");
        assert!(objects.is_empty(), "{text}");
        assert!(
            findings.iter().any(|f| f.origin.line == line && f.cause.contains(cause)),
            "{text}: {:?}",
            findings.iter().map(ToString::to_string).collect::<Vec<_>>()
        );
    };
    bad("matches:\n  - path:\n      value: a", 8, "does not begin");
    bad("matches:\n  - path:\n      value: /a//b", 8, "`//`");
    bad("matches:\n  - path:\n      value: /a/../b", 8, "segment");
    bad("matches:\n  - path:\n      type: RegularExpression\n      value: '/a('", 9, "regular expression");
    bad("timeouts:\n  request: 1.5s", 7, "cannot be `1.5s`");
    bad("timeouts:\n  request: 1s\n  backendRequest: 2s", 8, "longer");
    bad("retry:\n  codes: [500, 302]", 7, "cannot be 302");
    bad("retry:\n  attempts: 26", 7, "cannot be 26");
    bad("backendRefs:\n  - name: s", 7, "missing");
    bad("backendRefs:\n  - name: s\n    port: 80\n    weight: 1000001", 9, "more than");
    bad("filters:\n  - type: URLRewrite", 7, "missing");
    bad("filters:\n  - type: RequestMirror", 7, "missing");
    bad("filters:\n  - type: ExtensionRef", 7, "not supported");
    let mirror = |rest: &str| {
        format!(
            "filters:\n  - type: RequestMirror\n    requestMirror: {{backendRef: {{name: s, port: 80}}, {rest}}}"
        )
    };
    bad(&mirror("percent: 101"), 8, "cannot be 101");
    bad(&mirror("fraction: {numerator: 3, denominator: 2}"), 8, "cannot be 3 of 2");
    bad(&mirror("percent: 1, fraction: {numerator: 1}"), 8, "beside `percent`");
    let cors = |field: &str| format!("filters:\n  - type: CORS\n    cors: {{{field}}}");
    bad(&cors("allowOrigins: [a.com]"), 8, "cannot be `a.com`");
    bad(&cors("allowOrigins: ['*', 'https://a.com']"), 8, "beside others");
    bad(&cors("allowMethods: [get]"), 8, "cannot be `get`");
    bad(&cors("allowHeaders: ['a b']"), 8, "cannot be `a b`");
    bad(&cors("maxAge: 0"), 8, "cannot be 0");
    bad(
        "backendRefs:\n  - name: s\n    port: 80\n    filters:\n    - type: RequestRedirect\n      requestRedirect: {port: 1}\n    - type: URLRewrite\n      urlRewrite: {hostname: a.com}",
        9,
        "has both",
    );
    bad(
        "filters:\n  - type: RequestHeaderModifier\n    requestHeaderModifier:\n      set:\n        - name: x-leno-a\n          value: b",
        10,
        "own headers",
    );
    bad(
        "filters:\n  - type: RequestHeaderModifier\n    requestHeaderModifier:\n      set:\n        - name: ':authority'\n          value: b",
        10,
        "cannot be `:authority`",
    );
    bad(
        "filters:\n  - type: RequestRedirect\n    requestRedirect: {port: 1}\nbackendRefs:\n  - name: s\n    port: 80",
        9,
        "beside",
    );
}

#[test]
fn expressions_of_one_document_are_counted() {
    let many = |count: usize| {
        let header =
            |i: usize| format!("{{headers: [{{type: RegularExpression, name: h{i}, value: 'a+'}}]}}");
        format!("{ROUTE}matches: [{}]\n", (0..count).map(header).collect::<Vec<_>>().join(", "))
    };
    assert!(documents(&many(64), "f").1.is_empty());
    // The rest is not compiled, so one more finding is all.
    let (objects, findings) = documents(
        &format!("{}    - matches: [{{path: {{type: RegularExpression, value: 'b+'}}}}]\n", many(64)),
        "f",
    );
    assert_eq!((objects.len(), findings.len()), (0, 1), "{findings:?}");
    assert!(findings[0].cause.contains("more than 64 regular expressions"));
}

#[test]
fn an_expression_must_be_valid_by_itself() {
    let text = format!("{ROUTE}matches:\n        - path: {{type: RegularExpression, value: 'a)(b'}}\n");
    let said: Vec<String> = documents(&text, "f.yaml").1.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "error[LENO0004] HTTPRoute/r.default (f.yaml:7): `spec.rules[0].matches[0].path.value` is not a valid regular expression: unopened group; write it in RE2 syntax",
        ]
    );
}
