//! Differences in HTTP/1: what codec refuses and others take, and the other way round.

use super::{Class, Difference, Other};
use crate::case::Case;
use crate::compare::Kind;
use crate::oddities;
use crate::understanding::TakenMessage;

/// Those whose reading of an HTTP/1 client codec's is held against.
const SERVERS: &[Other] = &[Other::HyperServer, Other::Nginx, Other::HaProxy];

/// codec refuses with `complaint`, and there is such a thing.
fn refuses(found: &Difference<'_>, complaint: &str, is_there: fn(&Case) -> bool) -> bool {
    found.ours.end.contains(complaint) && is_there(found.case)
}

/// codec takes a response for broken, and there is such a thing.
fn breaks(found: &Difference<'_>, is_there: fn(&Case) -> bool) -> bool {
    let is_broken =
        ["Protocol", "Broken", "others may read"].iter().any(|complaint| found.ours.end.contains(complaint));
    is_broken && is_there(found.case)
}

/// The other refuses: it does not understand the rest in some way of its own.
fn is_refused_by_other(found: &Difference<'_>) -> bool {
    let last = found.theirs.end.split([' ', ';']).rfind(|word| word.len() == 3).unwrap_or_default();
    last.starts_with(['4', '5'])
}

/// codec took such a message: where it begins is known then, as it is not where lines alone are looked at.
fn took(found: &Difference<'_>, is_it: impl Fn(&TakenMessage) -> bool) -> bool {
    found.ours.taken.iter().any(is_it)
}

/// A method that nginx has its own opinion of.
fn is_other_method(method: &[u8]) -> bool {
    let is_known = method.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_');
    !is_known || matches!(method, b"TRACE" | b"CONNECT")
}

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "line ends",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| refuses(found, "Malformed(LineEnd)", oddities::may_have_bare_line_end),
    },
    Class {
        name: "host absent, twice or odd",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| refuses(found, "Malformed(Host)", oddities::has_host_twice_or_odd),
    },
    Class {
        name: "length twice or odd",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| refuses(found, "Malformed(ContentLength)", oddities::has_length_twice_or_odd),
    },
    Class {
        name: "coding other than chunked",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| refuses(found, "Malformed(TransferEncoding)", oddities::has_coding_twice_or_odd),
    },
    Class {
        name: "length and coding",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| refuses(found, "Malformed(BothLengths)", oddities::has_length_and_coding),
    },
    Class {
        name: "coding in HTTP/1.0",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| refuses(found, "Malformed(OldVersion)", oddities::has_coding_in_old_version),
    },
    Class {
        name: "chunks",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| {
            let is_broken = found.ours.taken.last().is_some_and(|message| !message.is_whole);
            found.case.contains(b"chunked") && (found.ours.end.contains("Malformed(Chunk)") || is_broken)
        },
    },
    Class {
        name: "field lines",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| refuses(found, "Malformed(HeaderLine)", oddities::has_odd_field_line),
    },
    Class {
        name: "request lines",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| {
            let complaints = ["Malformed(RequestLine)", "end within a head"];
            complaints.iter().any(|complaint| refuses(found, complaint, oddities::has_odd_request))
        },
    },
    Class {
        name: "characters",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| {
            let is_odd = |case: &Case| oddities::has_odd_character(case) || oddities::has_odd_target(case);
            refuses(found, "Malformed(Syntax)", is_odd)
        },
    },
    Class {
        name: "targets",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| refuses(found, "400; ended", oddities::has_odd_target),
    },
    Class {
        name: "close beside keep-alive",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| found.ours.end.ends_with("ended") && oddities::has_close_beside_others(found.case),
    },
    Class {
        name: "large heads",
        others: SERVERS,
        kinds: &[Kind::Stricter],
        is_it: |found| refuses(found, "HeadTooLarge", |case| case.bytes.len() > 500),
    },
    Class {
        name: "HAProxy wants target and host alike",
        others: &[Other::HaProxy],
        kinds: &[Kind::Laxer],
        is_it: |found| is_refused_by_other(found) && found.case.contains(b"://"),
    },
    Class {
        name: "HAProxy wants no body with GET in HTTP/1.0",
        others: &[Other::HaProxy],
        kinds: &[Kind::Laxer],
        is_it: |found| found.theirs.end.contains("413") && found.case.contains(b"HTTP/1.0"),
    },
    Class {
        name: "HAProxy looks at framing and hosts in trailers",
        others: &[Other::HaProxy],
        kinds: &[Kind::Laxer],
        is_it: |found| {
            let begins = |line: &&String, names: &[&str]| names.iter().any(|name| line.starts_with(name));
            let lines = || found.ours.taken.iter().flat_map(|message| message.fields.iter().flatten());
            is_refused_by_other(found)
                && (lines()
                    .any(|line| begins(&line, &["behind: transfer-encoding", "behind: content-length"]))
                    || lines().filter(|line| begins(line, &["behind: host"])).count() > 1)
        },
    },
    Class {
        name: "HAProxy wants targets of ASCII",
        others: &[Other::HaProxy],
        kinds: &[Kind::Laxer],
        is_it: |found| {
            let is_beyond = |message: &TakenMessage| !message.start.is_ascii();
            is_refused_by_other(found)
                && (oddities::has_target_beyond_ascii(found.case) || took(found, is_beyond))
        },
    },
    Class {
        name: "HAProxy checks the handshake of WebSocket",
        others: &[Other::HaProxy],
        kinds: &[Kind::Laxer],
        is_it: |found| is_refused_by_other(found) && found.case.contains(b"websocket"),
    },
    Class {
        name: "HAProxy keeps PRI for the preface of HTTP/2",
        others: &[Other::HaProxy],
        kinds: &[Kind::Laxer],
        is_it: |found| is_refused_by_other(found) && found.case.contains(b"PRI "),
    },
    Class {
        name: "nginx looks closer at hosts",
        others: &[Other::Nginx],
        kinds: &[Kind::Laxer],
        is_it: |found| {
            let has_name = |host: &&[u8]| host.first().is_some_and(|first| *first != b':' && *first != b'.');
            let is_odd = |head: &oddities::Head<'_>| {
                let (_, target, _) = head.words().unwrap_or_default();
                !head.values(b"host").iter().all(has_name) || !target.starts_with(b"/")
            };
            let is_taken = |message: &TakenMessage| !has_name(&message.host.as_bytes());
            is_refused_by_other(found) && (oddities::has_head(found.case, is_odd) || took(found, is_taken))
        },
    },
    Class {
        name: "nginx takes Expect once",
        others: &[Other::Nginx],
        kinds: &[Kind::Laxer],
        is_it: |found| {
            let is_twice = |head: &oddities::Head<'_>| head.values(b"expect").len() > 1;
            let is_taken = |message: &TakenMessage| {
                let lines = message.fields.iter().flatten();
                lines.filter(|line| line.starts_with("expect:")).count() > 1
            };
            is_refused_by_other(found) && (oddities::has_head(found.case, is_twice) || took(found, is_taken))
        },
    },
    Class {
        name: "nginx resolves paths",
        others: &[Other::Nginx],
        kinds: &[Kind::Laxer],
        is_it: |found| {
            is_refused_by_other(found) && (found.case.contains(b"..") || found.case.contains(b"%"))
        },
    },
    Class {
        name: "nginx knows other methods",
        others: &[Other::Nginx],
        kinds: &[Kind::Laxer],
        is_it: |found| {
            let is_other = |head: &oddities::Head<'_>| is_other_method(head.words().unwrap_or_default().0);
            let is_taken = |message: &TakenMessage| {
                is_other_method(message.start.split(' ').next().unwrap_or_default().as_bytes())
            };
            is_refused_by_other(found) && (oddities::has_head(found.case, is_other) || took(found, is_taken))
        },
    },
    Class {
        name: "nginx takes no tab before a value",
        others: &[Other::Nginx],
        kinds: &[Kind::Laxer],
        is_it: |found| is_refused_by_other(found) && found.case.bytes.contains(&b'\t'),
    },
    Class {
        name: "HAProxy takes an empty port off",
        others: &[Other::HaProxy],
        kinds: &[Kind::Host],
        is_it: |found| {
            let mut pairs = found.ours.taken.iter().zip(&found.theirs.taken);
            pairs.all(|(ours, theirs)| {
                ours.host == theirs.host || ours.host.strip_suffix(':') == Some(&theirs.host)
            })
        },
    },
    Class {
        name: "nginx finds close within a word",
        others: &[Other::Nginx],
        kinds: &[Kind::Laxer],
        is_it: |found| oddities::has_close_within_a_word(found.case),
    },
    Class {
        name: "nginx takes an empty query off",
        others: &[Other::Nginx],
        kinds: &[Kind::Start],
        is_it: |found| {
            let mut pairs = found.ours.taken.iter().zip(&found.theirs.taken);
            pairs.all(|(ours, theirs)| {
                ours.start == theirs.start || ours.start.strip_suffix('?') == Some(&theirs.start)
            })
        },
    },
    Class {
        name: "nginx takes the last dot off a host",
        others: &[Other::Nginx],
        kinds: &[Kind::Host],
        is_it: |found| found.case.contains(b"."),
    },
    Class {
        name: "responses: line ends",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| breaks(found, oddities::may_have_bare_line_end),
    },
    Class {
        name: "responses: length and coding",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| breaks(found, oddities::has_length_and_coding),
    },
    Class {
        name: "responses: coding other than chunked",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| breaks(found, oddities::has_coding_twice_or_odd),
    },
    Class {
        name: "responses: coding in HTTP/1.0",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| breaks(found, oddities::has_coding_in_old_version),
    },
    Class {
        name: "responses: length twice or odd",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| breaks(found, oddities::has_length_twice_or_odd),
    },
    Class {
        name: "responses: change of protocol that nobody asked for",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| breaks(found, |case| case.contains(b" 101 ")),
    },
    Class {
        name: "responses: field lines",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| breaks(found, oddities::has_odd_field_line),
    },
    Class {
        name: "responses: status lines",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| breaks(found, oddities::has_odd_status_line),
    },
    Class {
        name: "responses: close beside others",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            found.ours.end.contains("connection closed") && oddities::has_close_beside_others(found.case)
        },
    },
    Class {
        name: "responses: large heads",
        others: &[Other::HyperClient],
        kinds: &[Kind::Stricter],
        is_it: |found| found.ours.end.contains("HeadTooLarge") && found.case.bytes.len() > 500,
    },
];
