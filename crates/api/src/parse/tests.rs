#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;
use std::path::{Path, PathBuf};

mod fixes;
mod papers;

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
    kind("v1", "Pod", Code::Foreign);
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
    assert_eq!(value(&objects[0])["metadata"]["uid"], "u");
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
pub(crate) fn corpus() -> Option<PathBuf> {
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
fn a_document_for_others_takes_no_other_along() {
    let text = format!("{}---\napiVersion: v1\nkind: Pod\nmetadata: {{name: s}}\n", SERVICE_TEXT);
    let (objects, findings) = documents(&text, "f.yaml");
    assert_eq!((objects.len(), findings.len()), (1, 1));
    assert_eq!(findings[0].code.level(), model::Severity::Warning);
}

#[test]
fn lists_are_read_as_what_is_in_them() {
    for kind in ["List", "ServiceList", "PodList"] {
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
fn what_is_no_yaml_is_told_by_its_name() {
    let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: n\nspec: [";
    let object = documents_fail_closed(text, "").0.pop().unwrap();
    let metadata = serde_json::json!({"name": "p", "namespace": "n"});
    assert_eq!(
        (&value(&object)["kind"], &value(&object)["metadata"]),
        (&"AuthorizationPolicy".into(), &metadata)
    );
}
