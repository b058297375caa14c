//! The specification: reads the policies' text itself, in three-valued logic, and shares no code with
//! what it checks. An unanswerable question is `None` and resolved once, for the whole rule.

use super::Asker;
use proptest::prelude::*;

/// Policies of up to two rules with up to three words each.
pub(super) fn any_policy() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "(principals|notPrincipals)=(td/ns/n/sa/a|td/ns/\\*|\\*)",
        "(namespaces|notNamespaces)=(n|m|\\*)",
        "(ports|notPorts)=(80|81)",
        "(methods|notMethods)=(GET|P\\*)",
        "(paths|notPaths)=(/a|/a/\\*|\\*b)",
        "(hosts|notHosts)=(h|\\*\\.h)",
        "header\\.x!?=[12]",
        "invalid=1",
    ];
    let rule = prop::collection::vec(word, 0..4).prop_map(|words| {
        let mut seen = std::collections::HashSet::new();
        let first = |word: &String| word.split_once('=').is_some_and(|(key, _)| seen.insert(key.to_owned()));
        words.into_iter().filter(first).collect::<Vec<_>>().join(" ")
    });
    let rules = prop::collection::vec(rule, 0..3);
    ("(DRY-)?(ALLOW|DENY|AUDIT)", rules).prop_map(|(action, rules)| {
        let rules = rules.iter().map(|rule| format!(": {rule}"));
        format!("{action}{}", rules.collect::<String>())
    })
}

/// Whether the request passes.
pub(super) fn allows(policies: &[String], asker: &Asker) -> bool {
    let matched = |policy: &String, leaning: bool| {
        policy.split(": ").skip(1).any(|rule| holds(rule, asker).unwrap_or(leaning))
    };
    let denied = policies.iter().any(|policy| policy.starts_with("DENY") && matched(policy, true));
    let mut allow = policies.iter().filter(|policy| policy.starts_with("ALLOW")).peekable();
    !denied && (allow.peek().is_none() || allow.any(|policy| matched(policy, false)))
}

/// All words of a rule: a definite no wins, then an unknown.
fn holds(rule: &str, asker: &Asker) -> Option<bool> {
    let answers: Vec<_> = rule.split_whitespace().map(|word| word_holds(word, asker)).collect();
    if answers.contains(&Some(false)) {
        return Some(false);
    }
    answers.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
}

fn word_holds(word: &str, asker: &Asker) -> Option<bool> {
    let (key, value) = word.split_once('=')?;
    let is_http = asker.method.is_some();
    let peer = asker.peer.as_ref();
    let is = |text: &str| match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(""), _) => !text.is_empty(),
        (Some(end), _) => text.ends_with(end),
        (_, Some(start)) => text.starts_with(start),
        _ => text == value,
    };
    let negated = key.starts_with("not") || key.ends_with('!');
    let answer = match key.trim_start_matches("not").trim_end_matches('!').to_lowercase().as_str() {
        "principals" => peer.is_some_and(|p| is(&format!("td/ns/{}/sa/{}", p.namespace, p.service_account))),
        "namespaces" => peer.is_some_and(|p| is(&p.namespace)),
        "ports" => value == "80",
        _ if !is_http => return None,
        "methods" => is(asker.method.as_deref()?),
        "paths" => is(&asker.path),
        "hosts" => is(asker.host.to_lowercase().trim_end_matches(":80")),
        "header.x" => return header_holds(value, negated, asker),
        _ => return None, // invalid
    };
    Some(answer != negated)
}

/// All lines equal is a yes, none a no. A mix is unknown: it closes either way.
fn header_holds(value: &str, negated: bool, asker: &Asker) -> Option<bool> {
    let equal = asker.headers.iter().filter(|(_, line)| line == value).count();
    match equal {
        0 => Some(negated),
        all if all == asker.headers.len() => Some(!negated),
        _ => None,
    }
}
