use super::*;

#[test]
fn a_kind_is_found_by_every_name() {
    for name in ["HTTPRoute", "httproutes", "httproute", "hr", "HTTPROUTES"] {
        assert_eq!(by_any(name).map(|k| k.kind), Some("HTTPRoute"), "{name}");
    }
    assert_eq!(by_plural("", "services").map(|k| k.kind), Some("Service"));
    assert_eq!(by_plural("leno.dev", "services"), None);
}

#[test]
fn core_kinds_have_a_version_without_a_group() {
    assert_eq!(by_kind("Service").map(Kind::api_version), Some("v1".to_owned()));
    assert_eq!(by_kind("Backend").map(Kind::api_version), Some("leno.dev/v1alpha1".to_owned()));
}
