#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Who the caller is, and what is sent on.

use super::{EntryPoint, FORWARDED_FOR_BYTES_MAX, Forwarded, Scheme, believe, original};
use model::authz::Cidr;
use model::settings::HttpConnections;

fn hops(count: u32) -> HttpConnections {
    HttpConnections { xff_num_trusted_hops: count, ..HttpConnections::default() }
}

fn cidrs(blocks: &[&str]) -> HttpConnections {
    let xff_trusted_cidrs = blocks.iter().map(|block| Cidr::parse(block).unwrap()).collect();
    HttpConnections { xff_trusted_cidrs, ..HttpConnections::default() }
}

fn ask(settings: &HttpConnections, peer: &str, headers: &[(&str, &str)]) -> Option<Forwarded> {
    let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    believe(settings, EntryPoint::Gateway, peer.parse().unwrap(), &headers)
}

/// `expected`: the caller and `x-forwarded-for` as it is sent on.
fn check(settings: &HttpConnections, peer: &str, came: &[&str], expected: Option<(&str, &str)>) {
    let headers: Vec<_> = came.iter().map(|value| ("x-forwarded-for", *value)).collect();
    let found = ask(settings, peer, &headers);
    let found = found.map(|f| (f.client.to_string(), String::from_utf8(f.forwarded_for).unwrap()));
    let found = found.as_ref().map(|(client, sent)| (&**client, &**sent));
    assert_eq!(found, expected, "{peer} {came:?}");
}

const PEER: &str = "10.0.0.1";

#[test]
fn nothing_is_believed_by_default() {
    let headers = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https")];
    assert_eq!(ask(&HttpConnections::default(), PEER, &headers), None);
}

/// The number of hops says what is in front of the gateways.
#[test]
fn at_a_workload_only_those_in_the_list_are_believed() {
    let headers = vec![("x-forwarded-for".to_owned(), "1.1.1.1".to_owned())];
    let client = |settings: &HttpConnections| {
        let believed = believe(settings, EntryPoint::Workload, PEER.parse().unwrap(), &headers);
        believed.map(|believed| believed.client.to_string())
    };
    assert_eq!(client(&HttpConnections::default()), None);
    assert_eq!(client(&hops(1)), None);
    assert_eq!(client(&cidrs(&["10.0.0.0/8"])).as_deref(), Some("1.1.1.1"));
    assert_eq!(client(&cidrs(&["192.0.2.0/24"])), None);
}

#[test]
fn the_caller_is_as_many_entries_back_as_hops_are_trusted() {
    for (count, came, client, sent) in [
        (1, &["1.1.1.1"][..], "1.1.1.1", "1.1.1.1, 10.0.0.1"),
        (1, &["6.6.6.6, 1.1.1.1"], "1.1.1.1", "6.6.6.6, 1.1.1.1, 10.0.0.1"),
        (2, &["6.6.6.6, 1.1.1.1,10.0.0.2"], "1.1.1.1", "6.6.6.6, 1.1.1.1,10.0.0.2, 10.0.0.1"),
        // Several lines are one list; empty elements are none.
        (
            2,
            &["6.6.6.6", "1.1.1.1", "", ", 10.0.0.2 ,"],
            "1.1.1.1",
            "6.6.6.6, 1.1.1.1, , 10.0.0.2 ,, 10.0.0.1",
        ),
        // Too few.
        (1, &[], PEER, PEER),
        (1, &[""], PEER, PEER),
        (3, &["1.1.1.1, 10.0.0.2"], PEER, "1.1.1.1, 10.0.0.2, 10.0.0.1"),
        // No address: the last good one to its right.
        (1, &["unknown"], PEER, "unknown, 10.0.0.1"),
        (2, &["1.1.1.1, 300.1.1.1"], PEER, "1.1.1.1, 300.1.1.1, 10.0.0.1"),
        (3, &["1.1.1.1, _x, 10.0.0.2"], "10.0.0.2", "1.1.1.1, _x, 10.0.0.2, 10.0.0.1"),
        // Families and ports.
        (1, &["2001:db8::1"], "2001:db8::1", "2001:db8::1, 10.0.0.1"),
        (1, &["[2001:db8::1]:4000"], "2001:db8::1", "[2001:db8::1]:4000, 10.0.0.1"),
        (1, &["1.1.1.1:4000"], "1.1.1.1", "1.1.1.1:4000, 10.0.0.1"),
        (1, &["::ffff:1.1.1.1"], "1.1.1.1", "::ffff:1.1.1.1, 10.0.0.1"),
    ] {
        check(&hops(count), PEER, came, Some((client, sent)));
    }
    check(&hops(1), "::ffff:10.0.0.1", &["1.1.1.1"], Some(("1.1.1.1", "1.1.1.1, 10.0.0.1")));
}

#[test]
fn the_caller_is_the_first_address_from_the_right_that_is_not_trusted() {
    let trusted = cidrs(&["10.0.0.0/8", "2001:db8::/32"]);
    for (came, client) in [
        (&["1.1.1.1"][..], "1.1.1.1"),
        (&["10.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        (&["1.1.1.1", "2001:db8::2", "10.0.0.2"], "1.1.1.1"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (&["1.1.1.1, junk, 10.0.0.2"], "10.0.0.2"),
        (&["1.1.1.1, junk"], PEER),
        (&[], PEER),
    ] {
        let all: Vec<_> = came.iter().copied().chain([PEER]).collect();
        check(&trusted, PEER, came, Some((client, &all.join(", "))));
    }
    check(&trusted, "::ffff:10.0.0.1", &["1.1.1.1"], Some(("1.1.1.1", "1.1.1.1, 10.0.0.1")));
    for peer in ["192.0.2.1", "11.0.0.1", "2001:db9::1"] {
        check(&trusted, peer, &["1.1.1.1"], None);
    }
    // Configuration refuses both at once; here the stricter one holds.
    let both = HttpConnections { xff_num_trusted_hops: 1, ..trusted };
    check(&both, "192.0.2.1", &["1.1.1.1"], None);
}

#[test]
fn a_list_too_long_is_overwritten() {
    let entry = "1.1.1.1";
    let fits = format!("{entry}{}", ", 1.1.1.1".repeat((FORWARDED_FOR_BYTES_MAX - 9) / 9));
    check(&hops(1), PEER, &[&fits], Some((entry, &format!("{fits}, {PEER}"))));
    check(&hops(1), PEER, &[&fits, entry], Some((PEER, PEER)));
    check(&hops(1), PEER, &[entry, &"x".repeat(FORWARDED_FOR_BYTES_MAX)], Some((PEER, PEER)));
}

#[test]
fn a_scheme_is_kept_from_the_trusted_only_and_only_one_that_there_is() {
    for (came, expected) in [
        (&["https"][..], Some(Scheme::Https)),
        (&["HTTPS"], Some(Scheme::Https)),
        (&["http"], Some(Scheme::Http)),
        (&["ftp"], None),
        (&["https, http"], None),
        (&["https", "https"], None),
        (&["https", "http", "https"], None),
        (&[], None),
    ] {
        let headers: Vec<_> = came.iter().map(|value| ("x-forwarded-proto", *value)).collect();
        let found = ask(&cidrs(&["10.0.0.1"]), PEER, &headers).unwrap();
        assert_eq!(found.scheme, expected, "{came:?}");
        assert_eq!(ask(&cidrs(&["10.0.0.2"]), PEER, &headers), None);
    }
}

/// Behind the gateway the same is decided of what it sends on: whatever it believed, and also when it believed nothing.
#[test]
fn who_is_behind_a_gateway_finds_the_caller_that_the_gateway_found() {
    let gateway = Some("10.9.9.9".parse().unwrap());
    let found = |settings: &HttpConnections, sent: &str| {
        let headers = vec![("x-forwarded-for".to_owned(), sent.to_owned())];
        original(settings, gateway, &headers).map(|ip| ip.to_string())
    };
    let all = [HttpConnections::default(), hops(1), hops(2), cidrs(&["10.0.0.0/16", "1.1.1.1"])];
    let long = format!("{}1.1.1.1", "6.6.6.6, ".repeat(FORWARDED_FOR_BYTES_MAX / 9 - 1));
    for settings in &all {
        for came in
            ["", "1.1.1.1", "6.6.6.6, 1.1.1.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "unknown", "1.1.1.1, _x", &long]
        {
            for peer in [PEER, "8.8.8.8"] {
                let believed = ask(settings, peer, &[("x-forwarded-for", came)]);
                let (client, sent) = match &believed {
                    Some(told) => {
                        (told.client.to_string(), String::from_utf8(told.forwarded_for.clone()).unwrap())
                    }
                    None => (peer.to_owned(), peer.to_owned()),
                };
                assert_eq!(found(settings, &sent), Some(client), "{settings:?} {peer} {came}");
            }
        }
    }
    for none in ["", "unknown", "1.1.1.1, nobody"] {
        assert_eq!(found(&hops(1), none), gateway.map(|ip| ip.to_string()), "{none}");
    }
    assert_eq!(original(&hops(1), None, &Vec::new()), None);
}

/// What a gateway has decided is heard behind it, whatever stands in the list.
#[test]
fn the_gateways_word_counts_within_the_mesh() {
    let headers = |lines: &[(&str, &str)]| -> Vec<(String, String)> {
        lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let ask = |lines: &[(&str, &str)]| {
        let found = original(&HttpConnections::default(), PEER.parse().ok(), &headers(lines));
        found.map(|ip| ip.to_string()).unwrap_or_default()
    };
    let list = ("x-forwarded-for", "6.6.6.6, 192.0.2.7");
    assert_eq!(ask(&[list]), "192.0.2.7");
    assert_eq!(ask(&[list, ("x-envoy-external-address", "203.0.113.9")]), "203.0.113.9");
    assert_eq!(ask(&[list, ("x-envoy-external-address", "nobody")]), "192.0.2.7");
    let twice = ("x-envoy-external-address", "1.1.1.1");
    assert_eq!(ask(&[list, twice, twice]), "192.0.2.7");
}
