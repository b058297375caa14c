#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::kinds::Spec;
use crate::parse::documents;

/// What the group with these annotations, from line 7 on, has of capture, and what is said of it.
fn read(annotations: &str) -> (Option<Vec<(String, String)>>, String) {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: w}}\nspec:\n  template: {{}}\n  \
         metadata: {{annotations: {{\n{annotations}}}}}\n"
    );
    let (mut objects, mut findings) = documents(&text, "f.yaml");
    let object = objects.pop();
    findings.extend(object.iter().flat_map(|object| object.warnings.clone()));
    let said = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let capture = object.map(|object| match object.spec {
        Spec::WorkloadGroup(spec) => {
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            spec.metadata.capture().map(owned).collect()
        }
        other => unreachable!("{other:?}"),
    });
    (capture, said)
}

#[test]
fn annotations_about_capture_are_those_of_istio() {
    let (capture, said) = read(
        "traffic.sidecar.istio.io/excludeInboundPorts: '9090,9100',\n\
         traffic.sidecar.istio.io/includeOutboundIPRanges: '*'",
    );
    assert_eq!(said, "");
    assert_eq!(capture.unwrap().len(), 2);
    let (capture, said) = read("example.com/team: a");
    assert_eq!(capture, Some(Vec::new()));
    assert!(said.contains("(f.yaml:7): `spec.metadata.annotations[example.com/team]`"), "{said}");
}

#[test]
fn one_without_a_reading_refuses_the_group_and_is_named_with_its_line() {
    for (annotation, expected) in [
        (
            "excludeInboundPorts: ssh",
            "excludeInboundPorts]` has no reading: `ssh` is not a port from 1 to 65535",
        ),
        ("excludeOutboundIPRanges: 10.0.0.0/33", "`10.0.0.0/33` is not an address"),
        ("excludeInterfaces: eth1", "`excludeInterfaces` is not one of includeInboundPorts"),
    ] {
        let (capture, said) = read(&format!("a: b,\ntraffic.sidecar.istio.io/{annotation}"));
        assert_eq!(capture, None, "{annotation}");
        assert!(said.contains("(f.yaml:8)") && said.contains(expected), "{annotation}: {said}");
    }
}
