use super::*;

#[test]
fn each_header_has_its_reason_in_any_case_and_of_any_length() {
    let check = |names: &str, why: Option<Untouched>| {
        for name in names.split_whitespace() {
            assert_eq!(untouched(name), why, "{name}");
            assert_eq!(untouched(&name.to_ascii_uppercase()), why, "{name} in upper case");
        }
    };
    check("host", Some(Untouched::Host));
    check("content-length transfer-encoding", Some(Untouched::Framing));
    check("connection expect http2-settings keep-alive proxy-connection te upgrade", Some(Untouched::OneHop));
    check("x-leno-a x_leno.a x-forwarded-client-cert x_forwarded_client_cert", Some(Untouched::Protected));
    check(&format!("x-leno-{}", "a".repeat(100)), Some(Untouched::Protected));
    check("x-forwarded-for x-leno x-forwarded-client-certs hosts accept", None);
    check(&"a".repeat(100), None);
}

#[test]
fn what_is_for_one_hop_is_untouched() {
    for name in ["connection", "http2-settings", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert!(is_hop_by_hop(name.as_bytes()) && untouched(name) == Some(Untouched::OneHop), "{name}");
    }
    // It frames the message too, which is the reason that users are told.
    assert!(is_hop_by_hop(b"transfer-encoding"));
}

#[test]
fn each_header_is_something_to_a_proxy_in_all_spellings_that_applications_confuse() {
    let check = |names: &str, class: HeaderClass| {
        for name in names.split_whitespace() {
            assert_eq!(classify(name.as_bytes()), class, "{name}");
        }
    };
    check("te upgrade expect transfer-encoding", HeaderClass::HopByHop);
    check("x-leno-a x_leno.a x-forwarded_client-cert", HeaderClass::Protected);
    check("forwarded x-forwarded-for x.forwarded_anything x_real_ip x-original-url", HeaderClass::Forwarded);
    check("x-forwarded-client-certs x-forwarded- x-envoy-retry-on x_envoy-internal", HeaderClass::Forwarded);
    check("x x-leno x-real-ip2 x-request-id host accept content-length", HeaderClass::EndToEnd);
}
