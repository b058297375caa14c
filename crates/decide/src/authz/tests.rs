#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Istio's semantics as sentences, then against a specification that is slow and obvious.

use super::{Decision, Denial, Facts, NAMED_POLICIES_MAX, RemoteIp, authorize, dry_run};
use crate::RequestView;
use model::authz::*;
use model::settings::HttpConnections;
use model::{ObjectRef, Origin, SpiffeId};
use proptest::prelude::*;
use std::sync::Arc;

mod spec;

fn globs(values: &str) -> Vec<Glob> {
    values.split('|').map(Glob::parse).collect()
}

/// A rule from words such as `principals=a|b notPorts=1 header.x-role!=admin`.
pub(super) fn rule(text: &str) -> Rule {
    let (mut from, mut to, mut when) = (Source::default(), Operation::default(), Vec::new());
    for word in text.split_whitespace() {
        let (key, values) = word.split_once('=').unwrap();
        let ports = || values.split('|').map(|p| p.parse().unwrap()).collect();
        let blocks = || values.split('|').map(|b| Cidr::parse(b).unwrap()).collect();
        let names = || values.split('|').map(Into::into).collect();
        match key {
            "principals" => from.principals = globs(values),
            "notPrincipals" => from.not_principals = globs(values),
            "namespaces" => from.namespaces = globs(values),
            "notNamespaces" => from.not_namespaces = globs(values),
            "serviceAccounts" => from.service_accounts = names(),
            "notServiceAccounts" => from.not_service_accounts = names(),
            "ipBlocks" => from.ip_blocks = blocks(),
            "notIpBlocks" => from.not_ip_blocks = blocks(),
            "remoteIpBlocks" => from.remote_ip_blocks = blocks(),
            "notRemoteIpBlocks" => from.not_remote_ip_blocks = blocks(),
            "hosts" => to.hosts = globs(values),
            "notHosts" => to.not_hosts = globs(values),
            "ports" => to.ports = ports(),
            "notPorts" => to.not_ports = ports(),
            "methods" => to.methods = globs(values),
            "notMethods" => to.not_methods = globs(values),
            "paths" => to.paths = globs(values),
            "notPaths" => to.not_paths = globs(values),
            key => when.push(condition(key, values)),
        }
    }
    let from = if from == Source::default() { Vec::new() } else { vec![from] };
    let to = if to == Operation::default() { Vec::new() } else { vec![to] };
    Rule { from, to, when }
}

fn condition(key: &str, values: &str) -> Condition {
    let (name, negated) = key.strip_suffix('!').map_or((key, false), |name| (name, true));
    let key = match name {
        "source.ip" => ConditionKey::SourceIp,
        "remote.ip" => ConditionKey::RemoteIp,
        "source.namespace" => ConditionKey::SourceNamespace,
        "source.principal" => ConditionKey::SourcePrincipal,
        "destination.port" => ConditionKey::DestinationPort,
        "invalid" => ConditionKey::Invalid,
        header => ConditionKey::Header(header.strip_prefix("header.").unwrap().into()),
    };
    let (values, not_values) =
        if negated { (Vec::new(), globs(values)) } else { (globs(values), Vec::new()) };
    Condition { key, values, not_values }
}

/// A policy from `ALLOW`, `DENY`, `AUDIT` or `DRY-DENY`, then `: rule : rule`; `: ` alone is a rule that
/// matches everything.
fn policy(text: &str) -> Arc<Policy> {
    let mut parts = text.split(": ");
    let word = parts.next().unwrap().trim();
    let (dry_run, word) = word.strip_prefix("DRY-").map_or((false, word), |word| (true, word));
    let action = match word {
        "ALLOW" => Action::Allow,
        "DENY" => Action::Deny,
        "AUDIT" => Action::Audit,
        other => panic!("{other}"),
    };
    let object = ObjectRef::new("AuthorizationPolicy", "n", text);
    Arc::new(Policy {
        origin: Origin { object, file: "".into(), line: 0 },
        action,
        rules: parts.map(rule).collect(),
        dry_run,
    })
}

/// Somebody `NS/ACCOUNT` (or `-`) asking `METHOD host/path header:value ...`, or `TCP`.
struct Asker {
    peer: Option<SpiffeId>,
    method: Option<String>,
    host: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Asker {
    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let peer = words.next().unwrap().split_once('/').map(|(namespace, account)| {
            SpiffeId::parse(&format!("spiffe://td/ns/{namespace}/sa/{account}")).unwrap()
        });
        let method = words.next().filter(|word| *word != "TCP").map(str::to_owned);
        let target = words.next().unwrap_or("h/");
        let (host, path) = target.split_at(target.find('/').unwrap());
        let pair = |word: &str| word.split_once(':').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        Self {
            peer,
            method,
            host: host.to_owned(),
            path: path.to_owned(),
            headers: words.map(pair).collect(),
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&Facts<'_>) -> T) -> T {
        let view = RequestView {
            method: self.method.as_deref().unwrap_or(""),
            host: &self.host,
            path: &self.path,
            readings: &[],
            query: None,
            headers: &self.headers,
        };
        let http = self.method.is_some().then_some(&view);
        question(&Facts {
            peer: self.peer.as_ref(),
            peer_ip: "10.0.0.9".parse().ok(),
            remote_ip: RemoteIp::Peer,
            port: 80,
            http,
        })
    }
}

/// The verdict: `allow`, the text of the policy that denied, or `default` when no ALLOW matched.
fn check(policies: &[&str], asker: &str, expected: &str) {
    let list: Vec<_> = policies.iter().map(|text| policy(text)).collect();
    let verdict = match Asker::parse(asker).ask(|facts| authorize(&list, facts)) {
        Decision::Allow => "allow".to_owned(),
        Decision::Ambiguous => "ambiguous".to_owned(),
        Decision::Deny(Denial::Matched { policy, .. }) => policy.origin.object.name.to_string(),
        Decision::Deny(Denial::NoneMatched { .. }) => "default".to_owned(),
    };
    assert_eq!(verdict, expected, "{asker} under {policies:?}");
}

const ALLOW: &str = "allow";

/// Whether `rule` matches in an ALLOW and in a DENY policy.
fn check_rule(rule: &str, asker: &str, in_allow: bool, in_deny: bool) {
    let (allow, deny) = (format!("ALLOW: {rule}"), format!("DENY: {rule}"));
    check(&[&allow], asker, if in_allow { ALLOW } else { "default" });
    check(&[&deny], asker, if in_deny { &deny } else { ALLOW });
}

#[test]
fn deny_goes_before_allow_and_no_policy_allows() {
    check(&[], "-", ALLOW);
    check(&["ALLOW: ", "DENY: ports=80"], "n/a GET", "DENY: ports=80");
    check(&["ALLOW: ", "DENY: ports=81"], "n/a GET", ALLOW);
    check(&["DENY: ports=81"], "n/a GET", ALLOW);
    check(&["ALLOW: ports=81", "ALLOW: ports=80"], "n/a GET", ALLOW);
}

#[test]
fn an_empty_allow_denies_all_and_an_empty_deny_nothing() {
    check(&["ALLOW"], "n/a GET", "default");
    check(&["DENY"], "n/a GET", ALLOW);
}

/// All that could have let it in are named, but neither those that deny nor those that are only tried.
#[test]
fn a_denial_tells_which_policies_did_not_match() {
    let named = |texts: &[&str]| {
        let list: Vec<_> = texts.iter().map(|text| policy(text)).collect();
        match Asker::parse("n/a GET").ask(|facts| authorize(&list, facts)) {
            Decision::Deny(Denial::NoneMatched { allow }) => {
                allow.iter().map(|policy| policy.origin.object.name.to_string()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let texts = ["ALLOW: ports=81", "DENY: ports=82", "ALLOW", "DRY-ALLOW: ports=80", "AUDIT: ports=80"];
    assert_eq!(named(&texts), ["ALLOW: ports=81", "ALLOW"]);
    assert_eq!(named(&["ALLOW"; NAMED_POLICIES_MAX + 1]).len(), NAMED_POLICIES_MAX);
}

/// The policies that match without being enforced, and what they would come to: `verdict: policies`.
fn reported(texts: &[&str], asker: &str) -> String {
    let list: Vec<_> = texts.iter().map(|text| policy(text)).collect();
    let Some(dry_run) = Asker::parse(asker).ask(|facts| dry_run(&list, facts)) else {
        return "enforced".to_owned();
    };
    let verdict = match dry_run.verdict {
        None => "-",
        Some(Decision::Allow) => "allowed",
        Some(Decision::Deny(_)) => "denied",
        Some(Decision::Ambiguous) => "ambiguous",
    };
    let names = dry_run.matched.iter().map(|(policy, _)| policy.origin.object.name.to_string());
    format!("{verdict}; {}", names.collect::<Vec<_>>().join("; "))
}

#[test]
fn audit_and_dry_runs_are_only_rehearsed() {
    let texts = ["AUDIT: ports=80", "DRY-DENY: ports=80", "DRY-ALLOW: ports=81", "DENY: ports=81"];
    check(&texts, "n/a GET", ALLOW);
    assert_eq!(reported(&texts, "n/a GET"), "denied; AUDIT: ports=80; DRY-DENY: ports=80");
    assert_eq!(reported(&["AUDIT: ports=81", "ALLOW: "], "n/a GET"), "-; ");
    assert_eq!(reported(&["ALLOW: "], "n/a GET"), "enforced");
    // Nobody would be let in any more, and no policy matches: the verdict is what tells.
    assert_eq!(reported(&["DRY-ALLOW: ports=81"], "n/a GET"), "denied; ");
    assert_eq!(reported(&["DRY-ALLOW: ports=80"], "n/a GET"), "allowed; DRY-ALLOW: ports=80");
    check(&["DRY-ALLOW: ports=81"], "n/a GET", ALLOW);
}

#[test]
fn nobody_matches_no_principal() {
    for rule in [
        "principals=*",
        "principals=td/ns/n/sa/a",
        "namespaces=*",
        "serviceAccounts=n/a",
        "source.principal=*",
        "source.namespace=n",
    ] {
        check_rule(rule, "- GET", false, false);
        check_rule(rule, "n/a GET", true, true);
    }
    check_rule("notPrincipals=*", "- GET", true, true);
    check_rule("notPrincipals=*", "n/a GET", false, false);
}

#[test]
fn principals_are_compared_literally() {
    check_rule("principals=td/ns/n/sa/a.b", "n/a-b GET", false, false);
    check_rule("principals=td/ns/n/*", "n/a GET", true, true);
    check_rule("principals=*/sa/a", "n/a TCP", true, true);
    check_rule("principals=*-x", "n/a-x TCP", true, true);
    check_rule("serviceAccounts=n/b", "n/a GET", false, false);
    check_rule("notServiceAccounts=n/b", "n/a GET", true, true);
}

#[test]
fn hosts_ignore_case_and_port() {
    for rule in ["hosts=A.com", "hosts=a.com:80", "hosts=*.COM", "hosts=a.*", "hosts=*"] {
        check_rule(rule, "n/a GET a.Com:80/", true, true);
    }
    check_rule("hosts=a.com", "n/a GET a.com./", true, true);
    check_rule("hosts=a.com.", "n/a GET a.com/", true, true);
    check_rule("hosts=*.com.", "n/a GET a.com:80/", true, true);
    check_rule("hosts=a.com", "n/a GET xa.com/", false, false);
    check_rule("notHosts=a.com", "n/a GET A.COM:80/", false, false);
}

#[test]
fn paths_are_compared_canonically_and_with_case() {
    check_rule("paths=/admin", "n/a GET h/admin", true, true);
    check_rule("paths=/admin", "n/a GET h/Admin", false, false);
    check_rule("paths=/a{b}", "n/a GET h/a%7Bb%7D", true, true);
    check_rule("paths=/admin*", "n/a GET h/admin/x", true, true);
    check_rule("paths=/a/*/b", "n/a GET h/a/x/b", false, false);
    // A template that slipped in is an error, so it closes.
    check_rule("paths=/a/{*}/b", "n/a GET h/other", false, true);
    check_rule("methods=GET", "n/a get", false, false);
}

#[test]
fn http_fields_of_a_tcp_connection_count_against_it() {
    for rule in ["paths=/x", "notPaths=/x", "methods=GET", "hosts=h", "header.x=1", "header.x!=1"] {
        check_rule(rule, "n/a TCP", false, true);
    }
    check_rule("paths=/x ports=81", "n/a TCP", false, false);
    check_rule("invalid=1", "n/a GET", false, true);
}

#[test]
fn every_value_and_every_member_of_a_header_is_examined() {
    let rule = "header.x-role=admin";
    check_rule(rule, "n/a GET h/ x-role:admin", true, true);
    check_rule(rule, "n/a GET h/ x-role:user", false, false);
    check_rule(rule, "n/a GET h/", false, false);
    check_rule(rule, "n/a GET h/ x-role:user x-role:admin", false, true);
    check_rule(rule, "n/a GET h/ x-role:user,admin", false, true);
    check_rule(rule, "n/a GET h/ x-role:admin,admin", true, true);
    let rule = "header.x-role!=user";
    check_rule(rule, "n/a GET h/ x-role:user", false, false);
    check_rule(rule, "n/a GET h/ x-role:user,admin", false, true);
    check_rule(rule, "n/a GET h/", true, true);
}

/// Istio asks for presence alone, so an empty value must not slip past a DENY.
#[test]
fn an_empty_header_counts_against_the_request() {
    check_rule("header.x-role=*", "n/a GET h/ x-role:", false, true);
    check_rule("header.x-role!=*", "n/a GET h/ x-role:", false, true);
    check_rule("header.x-role=*", "n/a GET h/ x-role:a", true, true);
    check_rule("header.x-role=*", "n/a GET h/", false, false);
    check_rule("header.x-role!=*", "n/a GET h/", true, true);
}

#[test]
fn a_header_that_is_no_text_counts_against_the_request() {
    struct Bytes;
    impl crate::Headers for Bytes {
        fn visit(&self, _: &str, each: &mut dyn FnMut(&[u8])) {
            each(b"\x85admin");
        }
    }
    let view =
        RequestView { method: "GET", host: "h", path: "/", readings: &[], query: None, headers: &Bytes };
    let facts = Facts { peer: None, peer_ip: None, remote_ip: RemoteIp::Peer, port: 80, http: Some(&view) };
    for text in ["header.x=user", "header.x!=admin"] {
        assert_ne!(authorize(&[policy(&format!("ALLOW: {text}"))], &facts), Decision::Allow, "{text}");
        assert_ne!(authorize(&[policy(&format!("DENY: {text}"))], &facts), Decision::Allow, "{text}");
    }
}

#[test]
fn addresses_are_compared_by_block_and_unknown_ones_close() {
    check_rule("ipBlocks=10.0.0.0/8", "n/a GET", true, true);
    check_rule("notIpBlocks=10.0.0.0/8", "n/a GET", false, false);
    check_rule("source.ip=10.0.0.9", "n/a TCP", true, true);
    check_rule("source.ip=10.*", "n/a TCP", false, true);
    check_rule("destination.port=80", "n/a TCP", true, true);
    let facts = Facts { peer: None, peer_ip: None, remote_ip: RemoteIp::Peer, port: 80, http: None };
    for text in ["ipBlocks=10.0.0.0/8", "notIpBlocks=10.0.0.0/8", "source.ip=10.0.0.9"] {
        assert_ne!(authorize(&[policy(&format!("ALLOW: {text}"))], &facts), Decision::Allow, "{text}");
        assert_ne!(authorize(&[policy(&format!("DENY: {text}"))], &facts), Decision::Allow, "{text}");
    }
}

proptest! {
    #[test]
    fn decisions_are_those_of_the_specification(
        policies in prop::collection::vec(spec::any_policy(), 0..5),
        peer in "-|n/a|n/b|m/a",
        call in "TCP|(GET|POST) (h|x\\.h|H:80)/(a|a/b|c)( x:[12]){0,2}",
    ) {
        let list: Vec<_> = policies.iter().map(|text| policy(text)).collect();
        let asker = Asker::parse(&format!("{peer} {call}"));
        let decided = asker.ask(|facts| authorize(&list, facts)) == Decision::Allow;
        prop_assert_eq!(decided, spec::allows(&policies, &asker), "{:?}", policies);
    }
}

#[test]
fn where_the_original_caller_is_says_who_let_it_in_and_not_where_the_peer_is() {
    let headers = vec![("x-forwarded-for".to_owned(), "203.0.113.7".to_owned())];
    let view =
        RequestView { method: "GET", host: "h", path: "/", readings: &[], query: None, headers: &headers };
    let settings = HttpConnections::default();
    let check = |rule: &str, remote_ip: RemoteIp<'_>, peer_ip: Option<&str>, http, expected: [bool; 2]| {
        let peer_ip = peer_ip.map(|ip| ip.parse().unwrap());
        let facts = Facts { peer: None, peer_ip, remote_ip, port: 80, http };
        let allows = authorize(&[policy(&format!("ALLOW: {rule}"))], &facts) == Decision::Allow;
        let denies = authorize(&[policy(&format!("DENY: {rule}"))], &facts) != Decision::Allow;
        assert_eq!([allows, denies], expected, "{rule} from {peer_ip:?}");
    };
    let (peer, caller) = (Some("10.0.0.9"), RemoteIp::Client("203.0.113.7".parse().unwrap()));
    let (yes, no, unknown) = ([true, true], [false, false], [false, true]);
    for (block, others) in [("remoteIpBlocks", "notRemoteIpBlocks"), ("remote.ip", "remote.ip!")] {
        let (outside, inside) = (format!("{block}=203.0.113.0/24"), format!("{block}=10.0.0.0/8"));
        for remote_ip in [caller, RemoteIp::Told(&settings)] {
            check(&outside, remote_ip, peer, Some(&view), yes);
            check(&inside, remote_ip, peer, Some(&view), no);
            check(&format!("{others}=203.0.113.0/24"), remote_ip, peer, Some(&view), no);
            check(&format!("{others}=10.0.0.0/8"), remote_ip, peer, Some(&view), yes);
            // The peer is known by its connection alone, and need not be.
            check("ipBlocks=10.0.0.0/8", remote_ip, peer, Some(&view), yes);
            check(&outside, remote_ip, None, Some(&view), yes);
        }
        // Whoever connects is the caller, whatever it writes; bytes say nothing else.
        check(&inside, RemoteIp::Peer, peer, Some(&view), yes);
        check(&inside, RemoteIp::Told(&settings), peer, None, yes);
        for rule in [outside, format!("{others}=203.0.113.0/24")] {
            check(&rule, RemoteIp::Peer, None, Some(&view), unknown);
            check(&rule, RemoteIp::Told(&settings), None, None, unknown);
        }
    }
    check("remote.ip=10.*", RemoteIp::Peer, peer, None, unknown);
}
