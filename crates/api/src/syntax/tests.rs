use super::*;

#[test]
fn names_are_dns_names() {
    for good in ["a", "a-b", "a1.b2"] {
        assert!(is_subdomain(good), "{good}");
    }
    for bad in ["", "-a", "a-", "A", "a_b", "a..b", ".a"] {
        assert!(!is_subdomain(bad), "{bad}");
    }
    assert!(
        is_host("*.example.com", true) && !is_host("*.example.com", false) && !is_host("10.0.0.1", false)
    );
}
