//! No application reads a path that had another verdict: the stimuli of bad-inputs.md, section 2.2, and random
//! ones, in every mode, under policies that deny little and that allow little.

use super::applications::{APPLICATIONS, Segments};
use super::{modes, odd_path, pattern, read};
use crate::RequestView;
use crate::authz::{Decision, Facts, RemoteIp, authorize};
use model::authz::{Action, Glob, Operation, Policy, Rule};
use model::{ObjectRef, Origin};
use proptest::prelude::*;
use std::sync::Arc;

/// Rows P01 to P08 and P16, and what belongs to them.
const STIMULI: &[&str] = &[
    "/admin",
    "/admin/",
    "//admin",
    "/x//../admin",
    "/admin//",
    "/admin//x",
    "///admin///",
    "/%61dmin",
    "/%2fadmin",
    "/%2Fadmin",
    "/x%2f..%2fadmin",
    "/x/..%2fadmin",
    "/x%2f../admin",
    "/%5cadmin",
    "/\\admin",
    "/x%5c..%5cadmin",
    "/x/../admin",
    "/x/%2e%2e/admin",
    "/x/.%2e/admin",
    "/./admin",
    "/%2e/admin",
    "/..;/admin",
    "/x/..;/admin",
    "/x/..;y=z/admin",
    "/x/%2e%2e;/admin",
    "/x/..%3B/admin",
    "/x/.;/../admin",
    "/%252e%252e/admin",
    "/x/%252e%252e/admin",
    "/x%252f..%252fadmin",
    "/x/..%252fadmin",
    "/%2561dmin",
    "/%25%36%31dmin",
    "/%252561dmin",
    "/%c0%ae%c0%ae/admin",
    "/x/%c0%ae./admin",
    "/admin%00",
    "/admin%00.png",
    "/admin%2500",
    "/admin%0d%0aX:1",
    "/admin;x=y",
    "/admin;x=y/action",
    "/admin/;x",
    "/admin;",
    "/admin;%2f",
    "/x;/../admin",
    "/;a=b/admin",
    "/;/admin",
    "/x/;/../admin",
    "/x;a=%2f..%2fadmin",
    "/x;a=/../admin",
    "/admin%3Bx=y",
    "/admin%3bx=y/action",
    "/admin%3Fx",
    "/admin%3f",
    "/admin%23x",
    "/admin%23",
    "/admin%3F/../x",
    "/x%3F/../admin",
    "/x/%2e%2e%3b/admin",
    "/admin#x",
    "/#/../admin",
    "/admin%2f",
    "/admin%2fx",
    "/admin%2F..%2Fx",
    "/x/admin/..%2f..%2fadmin",
    "/x/%2e%2e%2fadmin",
    "/x/..%5cadmin",
    "/x/..%255cadmin",
    "/a%255ca/..%252f",
    "/x%255cy/..%252fadmin",
    "/public/..%2f..%2fadmin",
    "/api/../admin",
    "/ADMIN",
    "/Admin",
    "/a+dmin",
    "/admin+",
    "/adm%69n%2f%2e%2e",
    "/admin/..",
    "/admin/../x",
    "/admin/%2e%2e/x",
    "/admin/..;/x",
    "/admin/..%2fx",
    "/x/%2f/admin",
    "/x%2f%2f..%2f..%2fadmin",
];

fn policy(action: Action, paths: &[&str]) -> Arc<Policy> {
    let operation =
        Operation { paths: paths.iter().map(|text| Glob::parse(text)).collect(), ..Operation::default() };
    let rule = Rule { to: vec![operation], ..Rule::default() };
    let origin = Origin { object: ObjectRef::new("AuthorizationPolicy", "a", "p"), file: "".into(), line: 0 };
    Arc::new(Policy { origin, action, rules: vec![rule], dry_run: false })
}

fn policies() -> Vec<Vec<Arc<Policy>>> {
    vec![
        vec![policy(Action::Deny, &["/admin", "/admin/*"])],
        vec![policy(Action::Deny, &["/admin*"])],
        vec![policy(Action::Allow, &["/x", "/x/*", "/public/*"])],
        vec![policy(Action::Deny, &["*/admin"]), policy(Action::Allow, &["/x*", "/a*", "/;*"])],
        vec![policy(Action::Deny, &["/a b", "*admin*x", "*;*"])],
    ]
}

fn ask(policies: &[Arc<Policy>], path: &str, readings: &[String]) -> Decision {
    let view = RequestView { method: "GET", host: "a", path, readings, query: None, headers: &() };
    authorize(
        policies,
        &Facts { peer: None, peer_ip: None, remote_ip: RemoteIp::Peer, port: 80, http: Some(&view) },
    )
}

fn spell(segments: &Segments) -> String {
    let escaped = |byte: &u8| format!("%{byte:02x}");
    let segment = |segment: &Vec<u8>| format!("/{}", segment.iter().map(escaped).collect::<String>());
    let text: String = segments.iter().map(segment).collect();
    pattern(&text).into_owned()
}

/// In every mode: refused, or each application has the verdict that was given.
fn check(raw: &str) {
    for how in modes() {
        let Ok(path) = read(raw, how) else { continue };
        for policies in policies() {
            let given = ask(&policies, &path.forwarded, &path.readings);
            let is_allowed = match given {
                Decision::Ambiguous => continue,
                Decision::Allow => true,
                Decision::Deny { .. } => false,
            };
            for (name, reads) in APPLICATIONS {
                let seen = spell(&reads(path.forwarded.as_bytes()));
                let is_same = (ask(&policies, &seen, &[]) == Decision::Allow) == is_allowed;
                let why = format!("{raw} by {how:?}: {:?} as {name} reads it: {seen}", path.forwarded);
                assert!(is_same, "{why}, readings {:?}, allowed: {is_allowed}", path.readings);
            }
        }
    }
}

#[test]
fn no_stimulus_passes_a_policy_in_any_mode() {
    STIMULI.iter().for_each(|raw| check(raw));
}

/// By default, whatever comes to `/admin` for anybody is denied as `/admin` is, or refused.
#[test]
fn what_somebody_reads_as_admin_is_never_allowed() {
    let denied = policy(Action::Deny, &["/admin", "/admin/*"]);
    let mut reached = 0;
    for raw in STIMULI {
        let Ok(path) = read(raw, Default::default()) else { continue };
        let is_admin = |seen: String| seen == "/admin" || seen.starts_with("/admin/");
        let is_reached =
            APPLICATIONS.iter().any(|(_, reads)| is_admin(spell(&reads(path.forwarded.as_bytes()))));
        reached += usize::from(is_reached);
        if is_reached {
            assert_ne!(
                ask(&[Arc::clone(&denied)], &path.forwarded, &path.readings),
                Decision::Allow,
                "{raw}"
            );
        }
    }
    assert!(reached > 40, "{reached}");
}

#[test]
fn what_is_the_same_for_all_applications_is_decided() {
    let denied = [policy(Action::Deny, &["/admin", "/admin/*"])];
    let decided = |raw: &str| {
        let path = read(raw, Default::default()).unwrap();
        ask(&denied, &path.forwarded, &path.readings)
    };
    for raw in
        ["/cart;jsessionid=8F2A/items", "/projects/group%2Fproject", "/a//b", "/discount-100%25abc", "/a%3Bb"]
    {
        assert_eq!(decided(raw), Decision::Allow, "{raw}");
    }
    for raw in ["/admin/a;b", "/admin/group%2Fproject", "/admin/a//b", "/%61dmin", "/x/../admin"] {
        assert!(matches!(decided(raw), Decision::Deny { .. }), "{raw}");
    }
    for raw in ["/admin;x", "/admin%2Fx", "//admin", "/%2561dmin", "/admin%3Fx", "/admin%23", "/x/..%2Fadmin"]
    {
        assert_eq!(decided(raw), Decision::Ambiguous, "{raw}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_else_passes_either(raw in odd_path()) {
        check(&raw);
    }
}
