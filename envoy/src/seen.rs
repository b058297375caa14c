//! What is seen of a call, as named values, and where they differ.

use crate::backend::Arrived;
use crate::call::CALL;
use crate::message::Message;
use crate::story::Teller;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What stands for a value that cannot be the same twice.
const ANY: &str = "(one of its own)";
/// What stands for a time that is left of one.
const LEFT: &str = "(what is left)";
/// What stands for a value that is not there.
pub(crate) const NOTHING: &str = "nothing";

/// All that is seen of one call by one teller.
#[derive(Clone, Debug)]
pub(crate) struct SeenCall {
    pub(crate) story: &'static str,
    /// From 1.
    pub(crate) call: usize,
    pub(crate) teller: Teller,
    /// By where and what: `caller status`, `one x-forwarded-for`, `log response_flags`.
    pub(crate) values: BTreeMap<String, String>,
}

/// A value that is not what Envoy's is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvoyDifference {
    pub(crate) story: &'static str,
    pub(crate) call: usize,
    pub(crate) teller: Teller,
    pub(crate) of: String,
    pub(crate) envoy: String,
    pub(crate) leno: String,
}

impl fmt::Display for SeenCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} call {}", self.teller.name(), self.story, self.call)?;
        self.values.iter().try_for_each(|(of, value)| writeln!(f, "    {of}: {value}"))
    }
}

impl fmt::Display for EnvoyDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (teller, story, call, of) = (self.teller.name(), self.story, self.call, &self.of);
        writeln!(f, "{teller} {story} call {call}: {of}")?;
        write!(f, "    Envoy: {}\n    Leno:  {}", self.envoy, self.leno)
    }
}

/// What the caller and the backends saw.
pub(crate) fn values(answer: &Message, arrived: &[Arrived]) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut note = |of: String, value: &str| {
        let all: &mut String = values.entry(of).or_default();
        if !all.is_empty() {
            all.push_str(" ¦ ");
        }
        all.push_str(value);
    };
    note("caller status".into(), answer.second_word());
    note("caller body".into(), &answer.body);
    for (name, value) in &answer.fields {
        note(format!("caller {name}"), masked(name, value));
    }
    for Arrived { at, request } in arrived {
        note(format!("{at} asked"), request.first.trim_end_matches(" HTTP/1.1"));
        note(format!("{at} body"), &request.body);
        for (name, value) in request.fields.iter().filter(|(name, _)| name != CALL) {
            note(format!("{at} {name}"), masked(name, value));
        }
    }
    values
}

fn masked<'a>(name: &str, value: &'a str) -> &'a str {
    let is_uuid = value.len() == 36 && value.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    match name {
        "date" => ANY,
        "grpc-timeout" if value.ends_with('u') => LEFT,
        "x-request-id" if is_uuid => ANY,
        _ => value,
    }
}

/// Where what Leno makes of a call is not what Envoy makes of it.
pub(crate) fn differences(seen: &[SeenCall]) -> Vec<EnvoyDifference> {
    let of_envoy: BTreeMap<_, _> = seen
        .iter()
        .filter(|seen| seen.teller == Teller::Envoy)
        .map(|seen| ((seen.story, seen.call), &seen.values))
        .collect();
    let of_leno = seen.iter().filter(|seen| seen.teller != Teller::Envoy);
    of_leno
        .filter_map(|seen| Some((seen, *of_envoy.get(&(seen.story, seen.call))?)))
        .flat_map(|(seen, envoy)| {
            let names: BTreeSet<&String> = envoy.keys().chain(seen.values.keys()).collect();
            let said = |values: &BTreeMap<String, String>, of: &str| {
                values.get(of).map_or_else(|| NOTHING.to_owned(), Clone::clone)
            };
            let differs = names.into_iter().filter(|of| envoy.get(*of) != seen.values.get(*of));
            differs.map(move |of| EnvoyDifference {
                story: seen.story,
                call: seen.call,
                teller: seen.teller,
                of: of.clone(),
                envoy: said(envoy, of),
                leno: said(&seen.values, of),
            })
        })
        .collect()
}
