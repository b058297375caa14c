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
    assert_eq!(by_kind("Service").map(ObjectKind::api_version), Some("v1".to_owned()));
    assert_eq!(by_kind("Backend").map(ObjectKind::api_version), Some("leno.dev/v1alpha1".to_owned()));
}

#[test]
fn no_two_kinds_have_a_name_in_common() {
    for (index, kind) in ALL.iter().enumerate() {
        let names = |kind: &ObjectKind| {
            let all = [kind.kind, kind.plural, kind.singular].into_iter().chain(kind.short.iter().copied());
            all.map(str::to_lowercase).collect::<Vec<_>>()
        };
        let others = ALL[..index].iter().flat_map(names).collect::<Vec<_>>();
        assert!(names(kind).iter().all(|name| !others.contains(name)), "{}", kind.kind);
        assert!(!REPLACED.iter().any(|(group, name, _)| (*group, *name) == (kind.group, kind.kind)));
    }
}
