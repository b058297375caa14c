#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::kinds::Spec;
use std::path::{Path, PathBuf};

mod fixes;

fn check(text: &str, expected: &[&str]) {
    let (_, findings) = documents(text, "f.yaml");
    let got: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(got, expected, "{text}");
}

const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  rules:
    - ";

fn rule(text: &str, expected: &[&str]) {
    check(&format!("{ROUTE}{}\n", text.replace('\n', "\n      ")), expected);
}

#[test]
fn a_slip_is_found_with_its_line_and_what_was_meant() {
    rule(
        "tiemouts:\n  request: 1s\nmatches:\n  - method: GETT",
        &[
            "error[LENO0003] HTTPRoute/r.default (f.yaml:6): unknown field `spec.rules[0].tiemouts`; did you mean `timeouts`?",
            "error[LENO0004] HTTPRoute/r.default (f.yaml:9): `spec.rules[0].matches[0].method` cannot be `GETT`; did you mean `GET`?",
        ],
    );
}

#[test]
fn all_unknown_fields_are_found_at_once() {
    let (objects, findings) = documents(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n  lables: {}\nspec:\n  ports:\n    - port: 80\n      targetport: 1\n  x: 1\n",
        "f.yaml",
    );
    assert_eq!(
        findings.iter().map(|f| (f.code, f.origin.line)).collect::<Vec<_>>(),
        [5, 9, 10].map(|line| (Code::UnknownField, line))
    );
    assert!(objects.is_empty());
}

#[test]
fn a_bad_document_hides_no_other() {
    let good = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n"
        )
    };
    let text = format!("{}---\na: [\n---\n{}---\n# nothing\n---\n{}", good("a"), good("b"), good("a"));
    let (objects, findings) = documents(&text, "f.yaml");
    assert_eq!(
        objects.iter().map(|o| (&*o.meta.name, o.origin.line)).collect::<Vec<_>>(),
        [("a", 1), ("b", 8)]
    );
    let got: Vec<_> = findings.iter().map(|f| (f.code, f.origin.line)).collect();
    assert_eq!(got, [(Code::Syntax, 6), (Code::Duplicate, 15)]);
}

#[test]
fn each_code_with_its_line() {
    let head = |kind: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: s}}\n");
    let line = |text: String, code, line| {
        let (objects, findings) = documents(&text, "f.yaml");
        assert_eq!(
            findings.iter().map(|f| (f.code, f.origin.line)).collect::<Vec<_>>(),
            [(code, line)],
            "{text}\n{findings:?}"
        );
        assert!(objects.is_empty(), "{text}");
    };
    line("a: {\n".into(), Code::Syntax, 1);
    line("a: 1\na: 2\n".into(), Code::Syntax, 2);
    line("a: 1\n".into(), Code::MissingField, 1);
    line(head("Servce"), Code::UnknownKind, 2);
    line("apiVersion: v2\nkind: Service\n".into(), Code::UnknownKind, 1);
    line("apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\n".into(), Code::Replaced, 2);
    let kind =
        |version: &str, kind: &str, code| line(format!("apiVersion: {version}\nkind: {kind}\n"), code, 2);
    kind("v1", "ConfigMap", Code::Foreign);
    kind("apps/v1", "Deployment", Code::Foreign);
    kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", Code::Foreign);
    kind("gateway.networking.x-k8s.io/v1alpha1", "XBackendTrafficPolicy", Code::Foreign);
    // Others have kinds of the same names.
    kind("serving.knative.dev/v1", "Service", Code::Foreign);
    kind("policy.linkerd.io/v1alpha1", "AuthorizationPolicy", Code::Foreign);
    // Who means ours is not told that all is well.
    kind("security.istio.io/v1", "AuthorisationPolicy", Code::UnknownKind);
    let version = |version: &str| {
        line(format!("apiVersion: {version}\nkind: AuthorizationPolicy\n"), Code::UnknownKind, 1);
    };
    version("security.istoi.io/v1");
    version("networking.istio.io/v1");
    version("security.istio.io/v9");
    line(head("Service"), Code::MissingField, 1);
    line(head("Service") + "spec:\n  ports:\n    - port: 70000\n", Code::BadValue, 6);
    line(head("Service") + "spec:\n  ports:\n    - port: 80\n      targetPort: http\n", Code::Unsupported, 7);
    line(head("Service") + "spec:\n  type: ExternalName\n  ports:\n    - port: 80\n", Code::Unsupported, 5);
    rule(
        "sessionPersistence:\n  type: Cookie",
        &[
            "error[LENO0103] HTTPRoute/r.default (f.yaml:6): `spec.rules[0].sessionPersistence` is not supported yet; remove `spec.rules[0].sessionPersistence`",
        ],
    );
}

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
    bad("retry:\n  attempts: 0", 7, "cannot be 0");
    bad("backendRefs:\n  - name: s", 7, "missing");
    bad("backendRefs:\n  - name: s\n    port: 80\n    weight: 1000001", 9, "more than");
    bad("filters:\n  - type: URLRewrite", 7, "missing");
    bad("filters:\n  - type: RequestMirror", 7, "not supported");
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
fn a_policy_that_is_understood_in_part_is_kept() {
    let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n  rules:\n    - when:\n        - key: request.auth.claims[iss]\n          values: [a]\n";
    let (objects, findings) = documents(text, "f.yaml");
    assert_eq!(objects.len(), 1);
    assert_eq!(
        findings.iter().map(|f| (f.code, f.origin.line)).collect::<Vec<_>>(),
        [(Code::Unsupported, 7)]
    );
}

#[test]
fn json_lists_and_server_set_metadata_are_read() {
    let text = r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Service",
      "metadata":{"name":"s","namespace":"n","uid":"u","resourceVersion":"7","generation":3,"creationTimestamp":"1970-01-02T00:00:00Z","labels":{"a":"b"}},
      "spec":{"ports":[{"port":80}],"clusterIP":"None"},"status":{"loadBalancer":{}}}]}"#;
    let (objects, findings) = documents(text, "");
    assert_eq!(findings, []);
    let meta = &objects[0].meta;
    assert_eq!(
        (meta.created, meta.generation, &*meta.namespace, meta.labels["a"].as_str()),
        (86_400, 3, "n", "b")
    );
    assert_eq!(objects[0].value()["metadata"]["uid"], "u");
}

#[test]
fn bombs_and_depth_are_refused() {
    let deep = format!("a: {}1{}", "[".repeat(500), "]".repeat(500));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let long = "a".repeat(DOCUMENT_BYTES_MAX + 1);
    for text in [deep.as_str(), bomb, long.as_str()] {
        let (objects, findings) = documents(text, "f");
        assert!(objects.is_empty());
        assert_eq!(findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::Syntax]);
    }
}

#[test]
fn every_document_of_the_corpus_parses_or_gives_a_finding() {
    let Some(root) = corpus() else { return };
    let (mut files, mut parsed, mut refused) = (0, 0, 0);
    for folder in ["gateway-conformance", "istio-authz", "istio-samples"] {
        for path in yaml_files(&root.join(folder)) {
            let text = std::fs::read_to_string(&path).unwrap().replace("{GATEWAY_CLASS_NAME}", "leno");
            // A CRLF file or one with other oddities must do the same.
            for text in [text.replace('\n', "\r\n"), text] {
                for document in crate::scan::documents(&text) {
                    let (objects, findings) = documents(document.text, "f");
                    assert!(
                        !objects.is_empty() || !findings.is_empty(),
                        "{}:\n{}",
                        path.display(),
                        document.text
                    );
                    parsed += objects.len();
                    refused += usize::from(objects.is_empty());
                    if std::env::var_os("LENO_CORPUS").is_some() {
                        for finding in findings
                            .iter()
                            .filter(|f| !matches!(f.code, Code::UnknownKind | Code::Replaced | Code::Foreign))
                        {
                            eprintln!("{}: {finding}", path.display());
                        }
                    }
                }
            }
            files += 1;
        }
    }
    eprintln!(
        "corpus: {files} files; {} documents parsed, {} refused or skipped with a finding",
        parsed / 2,
        refused / 2
    );
    assert!(files > 100 && parsed > 500);
}

/// Configurations by others, beside the repository. Where the check runs they must be there; a user's clone may
/// lack them.
fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if root.is_dir() {
        return Some(root);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent", root.display());
    eprintln!("skipped: {} is absent", root.display());
    None
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
    found
}

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: n}}\nspec: {spec}\n"
    )
}

#[test]
fn a_refused_policy_denies_where_nothing_better_is_known() {
    let closed = |spec: &str| {
        let text = policy(spec);
        assert!(documents(&text, "f").0.is_empty(), "{spec}");
        let (objects, findings) = documents_fail_closed(&text, "f");
        assert!(!findings.is_empty());
        let [Object { spec: Spec::AuthorizationPolicy(found), .. }] = &objects[..] else {
            panic!("{spec}: {objects:?}")
        };
        assert_eq!(
            (found.action, found.rules.len()),
            (Some(crate::kinds::authorization_policy::PolicyAction::Deny), 1)
        );
        let labels = found.selector.as_ref().map(|s| format!("{:?}", s.match_labels));
        let targets: Vec<_> = found.target_refs.iter().map(|target| target.name.as_str()).collect();
        format!("{} {}", labels.unwrap_or_default(), targets.join(" ")).trim().to_owned()
    };
    assert_eq!(
        closed("{selector: {matchLabels: {app: x}}, action: DENY, rules: [{fron: []}]}"),
        "{\"app\": \"x\"}"
    );
    assert_eq!(closed("{targetRefs: [{kind: Gateway, name: g}], ruls: []}"), "g");
    // Whom it selects is not known: the whole namespace.
    assert_eq!(closed("{selector: {matchLabel: {app: x}}}"), "");
    assert_eq!(closed("{targetRefs: [{kind: Service, name: s}]}"), "");
    assert_eq!(closed("{selector: {matchLabels: {app: x}}, targetRef: {kind: Gateway, name: g}}"), "");
    // Others of that name are not ours, and what can be read stays as it is.
    let other = policy("{}").replace("security.istio.io/v1", "policy.linkerd.io/v1alpha1");
    assert!(documents_fail_closed(&other, "f").0.is_empty());
    let good = policy("{action: ALLOW}");
    assert_eq!(documents_fail_closed(&good, "f"), documents(&good, "f"));
}

#[test]
fn a_policy_in_what_is_no_yaml_denies_to_its_namespace() {
    let closed = |text: &str| {
        assert!(documents(text, "f").0.is_empty(), "{text}");
        let (objects, findings) = documents_fail_closed(text, "f");
        assert!(!findings.is_empty(), "{text}");
        let told = objects.iter().map(|object| {
            let Spec::AuthorizationPolicy(spec) = &object.spec else { panic!("{object:?}") };
            assert!(
                spec.selector.is_none()
                    && spec.action == Some(crate::kinds::authorization_policy::PolicyAction::Deny)
            );
            format!("{}:{}", object.object, object.origin.line)
        });
        told.collect::<Vec<_>>().join(" ")
    };
    let block =
        policy("{action: DENY, rules: [}").replace("{name: p, namespace: n}", "\n  name: p\n  namespace: n");
    assert_eq!(closed(&block), "AuthorizationPolicy/p.n:1");
    assert_eq!(closed(&policy("{action: DENY, rules: [}")), "AuthorizationPolicy/p.n:1");
    // Once more for JSON, and behind another broken document.
    let json =
        r#"{"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "q"},"#;
    assert_eq!(closed(&format!("a: [\n---\n{json}")), "AuthorizationPolicy/q.default:3");
    // Neither name nor namespace, and those of others do not count.
    let bare = "spec: {rules: [{from: [{source: {namespaces: [x]}}]}\nkind: AuthorizationPolicy\napiVersion: security.istio.io/v1";
    assert_eq!(closed(bare), "AuthorizationPolicy/unreadable.default:1");
    // What only speaks of policies is none.
    for other in [
        "# kind: AuthorizationPolicy of security.istio.io\na: [",
        "kind: AuthorizationPolicy\napiVersion: policy.linkerd.io/v1alpha1\na: [",
        "kind: ConfigMap\nsecurity.istio.io: AuthorizationPolicy\na: [",
    ] {
        assert_eq!(closed(other), "", "{other}");
    }
    // Also in what is too large to be looked at.
    let large = format!("{block}#{}", "x".repeat(DOCUMENT_BYTES_MAX));
    assert_eq!(closed(&large), "AuthorizationPolicy/p.n:1");
    let file = format!("{block}#{}", "x".repeat(FILE_BYTES_MAX));
    assert_eq!(closed(&file), "AuthorizationPolicy/p.n:1");
    let late = format!("{}{block}", "a: [\n---\n".repeat(FINDINGS_MAX));
    assert_eq!(closed(&late), format!("AuthorizationPolicy/p.n:{}", 2 * FINDINGS_MAX + 1));
}

#[test]
fn conditions_that_could_never_match_are_found() {
    let bad = |spec: &str| {
        let (objects, findings) = documents(&policy(spec), "f");
        assert_eq!(objects.len(), 1, "kept, to fail closed: {spec}");
        assert_eq!(
            findings.iter().map(|f| f.code).collect::<Vec<_>>(),
            [Code::BadValue],
            "{spec} {findings:?}"
        );
    };
    let good = |spec: &str| assert!(documents(&policy(spec), "f").1.is_empty(), "{spec}");
    let from = |field: &str, value: &str| {
        format!("{{action: DENY, rules: [{{from: [{{source: {{{field}: ['{value}']}}}}]}}]}}")
    };
    let to = |field: &str, value: &str| {
        format!("{{action: DENY, rules: [{{to: [{{operation: {{{field}: ['{value}']}}}}]}}]}}")
    };
    let when = |key: &str, value: &str| {
        format!("{{action: DENY, rules: [{{when: [{{key: {key}, values: ['{value}']}}]}}]}}")
    };
    for value in ["spiffe://d/ns/n/sa/a", "d/ns/*/sa/a", "client", "*a*", "d/ns/n/sa/"] {
        bad(&from("principals", value));
        bad(&from("notPrincipals", value));
        bad(&when("source.principal", value));
    }
    for value in ["d/ns/n/sa/a", "*/sa/a", "cluster.local/ns/n/*", "*"] {
        good(&from("principals", value));
    }
    for (field, value) in [("namespaces", "a/b"), ("namespaces", "a*b"), ("ipBlocks", "::ffff:10.0.0.1")] {
        bad(&from(field, value));
    }
    for (field, value) in [
        ("methods", "get"),
        ("paths", "admin/*"),
        ("paths", "/a?b"),
        ("paths", "//a"),
        ("paths", "/a/../b"),
        ("paths", "/a/*/b"),
        ("hosts", "a*b"),
        ("ports", "+80"),
        ("ports", "080"),
    ] {
        bad(&to(field, value));
    }
    for (field, value) in
        [("methods", "GET"), ("paths", "/a/*"), ("paths", "*.png"), ("ports", "80"), ("hosts", "*.a.com")]
    {
        good(&to(field, value));
    }
    bad(&when("destination.port", "080"));
    good(&when("destination.port", "80"));
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
fn a_file_of_nothing_but_mistakes_ends_soon() {
    let (_, findings) = documents(&"a: 1\n---\n".repeat(3000), "f");
    assert_eq!(findings.len(), FINDINGS_MAX + 1);
    assert!(findings[FINDINGS_MAX].cause.contains("the rest was not read"));
}

#[test]
fn causes_are_in_the_writers_words() {
    let said = |text: &str| {
        let (_, findings) = documents(text, "f");
        findings.iter().map(|f| format!("{}; {}", f.cause, f.fix)).collect::<Vec<_>>().join(" | ")
    };
    assert_eq!(said("a: 1\na: 2\n"), "the key `a` occurs twice; remove one of the two");
    let deep = format!("a: {}1{}", "{a: ".repeat(90), "}".repeat(90));
    assert_eq!(said(&deep), "the document is nested deeper than 32; nest less deeply");
    let port = |value: &str| {
        said(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{ports: [{{port: {value}}}]}}\n"
        ))
    };
    let number = "a number from 1 to 65535";
    assert_eq!(
        port("'80'"),
        format!("`spec.ports[0].port` is the string \"80\", not {number}; write {number}, without quotes")
    );
    assert_eq!(port("[80]"), format!("`spec.ports[0].port` is a list, not {number}; write {number}"));
    assert_eq!(port("80.5"), format!("`spec.ports[0].port` is `80.5`, not {number}; write {number}"));
}

#[test]
fn an_expression_must_be_valid_by_itself() {
    rule(
        "matches:\n  - path: {type: RegularExpression, value: 'a)(b'}",
        &[
            "error[LENO0004] HTTPRoute/r.default (f.yaml:7): `spec.rules[0].matches[0].path.value` is not a valid regular expression: unopened group; write it in RE2 syntax",
        ],
    );
}

#[test]
fn a_document_for_others_takes_no_other_along() {
    let text = format!("{}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n", SERVICE_TEXT);
    let (objects, findings) = documents(&text, "f.yaml");
    assert_eq!((objects.len(), findings.len()), (1, 1));
    assert_eq!(findings[0].code.level(), model::Level::Warning);
}

#[test]
fn lists_are_read_as_what_is_in_them() {
    for kind in ["List", "ServiceList", "ConfigMapList"] {
        let text = format!(
            "apiVersion: v1\nkind: {kind}\nmetadata: {{resourceVersion: '7'}}\nitems:\n- {}",
            SERVICE_TEXT.trim_end().replace('\n', "\n  ")
        );
        let (objects, findings) = documents(&text, "f.yaml");
        let lines: Vec<u32> = objects.iter().map(|object| object.origin.line).collect();
        assert_eq!((lines, findings), (vec![5], Vec::new()), "{kind}");
    }
}

const SERVICE_TEXT: &str =
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  ports:\n  - port: 80\n";

#[test]
fn settings_out_of_range_are_refused_with_the_field() {
    let check = |spec: &str, path: &str| {
        let text = format!(
            "apiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {{name: default}}\nspec: {{{spec}}}\n"
        );
        let (objects, findings) = documents(&text, "f.yaml");
        assert!(objects.is_empty(), "{spec}");
        assert!(findings.iter().any(|finding| finding.cause.contains(path)), "{spec}: {findings:?}");
    };
    check("pathNormalization: {normalization: merge}", "spec.pathNormalization.normalization");
    check(
        "pathNormalization: {pathWithEscapedSlashesAction: KEEP}",
        "spec.pathNormalization.pathWithEscapedSlashesAction",
    );
    let http = |field: &str, path: &str| {
        check(&format!("httpConnectionManager: {{{field}}}"), &format!("spec.httpConnectionManager.{path}"))
    };
    http("xffNumTrustedHops: 33", "xffNumTrustedHops");
    http("xffTrustedCidrs: [10.0.0.0/33]", "xffTrustedCidrs[0]");
    http("xffNumTrustedHops: 1, xffTrustedCidrs: [10.0.0.0/8]", "xffTrustedCidrs");
    for time in ["0s", "500ms", "25h", "620", "1 h"] {
        http(&format!("idleTimeout: '{time}'"), "idleTimeout");
        http(&format!("streamIdleTimeout: '{time}'"), "streamIdleTimeout");
    }
}
