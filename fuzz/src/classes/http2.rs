//! Differences in HTTP/2 from the `h2` crate.

use super::{Class, Difference, Other};
use crate::compare::Kind;
use crate::frame::{GOAWAY, PUSH_PROMISE, RST_STREAM};
use crate::oddities;

/// codec ends a connection of HTTP/2 for a fault of the peer.
fn ends_connection(found: &Difference<'_>) -> bool {
    found.ours.end.starts_with("Protocol(") || found.ours.end.contains("Lost(Violated(")
}

/// The `h2` crate ends a connection for a fault of the peer.
fn is_given_up_by_crate(found: &Difference<'_>) -> bool {
    found.theirs.end.contains(", Library)")
}

/// Any request of HTTP/2 has these fields.
fn has_list(found: &Difference<'_>, is_it: impl Fn(&[(Vec<u8>, Vec<u8>)]) -> bool) -> bool {
    oddities::lists(found.case).iter().any(|list| is_it(list))
}

fn value<'l>(list: &'l [(Vec<u8>, Vec<u8>)], wanted: &[u8]) -> Option<&'l [u8]> {
    list.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_slice())
}

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "host beside authority",
        others: &[Other::H2Server],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            has_list(found, |list| {
                let (authority, host) = (value(list, b":authority"), value(list, b"host"));
                let hosts = list.iter().filter(|(name, _)| name == b"host").count();
                hosts > 1 || (host.is_some() && host != authority)
            })
        },
    },
    Class {
        name: "authority absent or odd",
        others: &[Other::H2Server],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            has_list(found, |list| {
                let authority = value(list, b":authority").or(value(list, b"host")).unwrap_or_default();
                let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte);
                authority.is_empty() || !authority.iter().all(is_plain)
            })
        },
    },
    Class {
        name: "CONNECT without a port",
        others: &[Other::H2Server],
        kinds: &[Kind::Stricter],
        is_it: |found| has_list(found, |list| value(list, b":method") == Some(b"CONNECT")),
    },
    Class {
        name: "fragment in a path",
        others: &[Other::H2Server],
        kinds: &[Kind::Stricter],
        is_it: |found| has_list(found, |list| value(list, b":path").is_some_and(|path| path.contains(&b'#'))),
    },
    Class {
        name: "path that is none",
        others: &[Other::H2Server],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            has_list(found, |list| value(list, b":path").is_some_and(|path| !path.starts_with(b"/")))
        },
    },
    Class {
        name: "scheme that is not ours",
        others: &[Other::H2Server],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            has_list(found, |list| {
                value(list, b":scheme").is_some_and(|scheme| !matches!(scheme, b"http" | b"https"))
            })
        },
    },
    Class {
        name: "length of HTTP/2 twice or odd",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            has_list(found, |list| {
                let lengths = list.iter().filter(|(name, _)| name == b"content-length");
                let is_plain = |(_, length): &&(Vec<u8>, Vec<u8>)| {
                    !length.is_empty() && length.iter().all(u8::is_ascii_digit)
                };
                lengths.clone().count() > 1 || !lengths.clone().all(|line| is_plain(&line))
            })
        },
    },
    Class {
        name: "blanks around a value",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            let is_padded = |(_, value): &(Vec<u8>, Vec<u8>)| value.trim_ascii() != value.as_slice();
            has_list(found, |list| list.iter().any(is_padded))
        },
    },
    Class {
        name: "reset by the peer",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Stricter, Kind::Laxer],
        is_it: |found| oddities::has_frame(found.case, RST_STREAM),
    },
    Class {
        name: "priority",
        others: &[Other::H2Server, Other::H2Client],
        // The crate passes such fields over without decoding them: its table is out of step from there on.
        kinds: &[Kind::Laxer, Kind::Stricter, Kind::Start, Kind::Host, Kind::Fields, Kind::Body],
        is_it: |found| oddities::depends_on_itself(found.case),
    },
    Class {
        name: "field without a name",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer, Kind::Stricter, Kind::Start, Kind::Host, Kind::Fields, Kind::Body],
        is_it: |found| has_list(found, |list| list.iter().any(|(name, _)| name.is_empty())),
    },
    Class {
        name: "errors of the connection",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer, Kind::Stricter],
        is_it: |found| ends_connection(found) && found.theirs.end.contains("GoAway("),
    },
    Class {
        name: "cut frames",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer, Kind::Stricter],
        is_it: |found| {
            let is_it = match found.kind {
                Kind::Laxer => is_given_up_by_crate(found),
                _ => ends_connection(found),
            };
            is_it && oddities::has_cut_frame(found.case)
        },
    },
    Class {
        name: "SETTINGS come first",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| ends_connection(found) && !oddities::begins_with_settings(found.case),
    },
    Class {
        name: "malformed for a stream alone",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer],
        is_it: |found| {
            is_given_up_by_crate(found)
                && has_list(found, |list| {
                    list.iter().any(|(name, value)| oddities::is_odd_field(name, value))
                })
        },
    },
    Class {
        name: "goodbye of the peer",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer],
        is_it: |found| found.theirs.end.contains("GoAway(") && oddities::has_frame(found.case, GOAWAY),
    },
    Class {
        name: "stream numbers",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            let opened_max = if found.other == Other::H2Client { 3 } else { u32::MAX };
            ends_connection(found) && oddities::has_unopened_stream(found.case, opened_max)
        },
    },
    Class {
        name: "stream numbers that go back",
        others: &[Other::H2Server],
        kinds: &[Kind::Laxer],
        is_it: |found| is_given_up_by_crate(found) && oddities::goes_back(found.case),
    },
    Class {
        name: "SETTINGS acknowledged twice",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer],
        is_it: |found| is_given_up_by_crate(found) && oddities::acknowledges_twice(found.case),
    },
    Class {
        name: "PUSH_PROMISE",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| ends_connection(found) && oddities::has_frame(found.case, PUSH_PROMISE),
    },
    Class {
        name: "window that grows by nothing",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer],
        is_it: |found| is_given_up_by_crate(found) && oddities::widens_by_nothing(found.case),
    },
    Class {
        name: "setting of extended CONNECT",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer],
        is_it: |found| is_given_up_by_crate(found) && oddities::has_odd_extended_connect(found.case),
    },
    Class {
        name: "data before the head",
        others: &[Other::H2Client],
        kinds: &[Kind::Laxer],
        is_it: |found| is_given_up_by_crate(found) && oddities::has_data_before_head(found.case),
    },
    Class {
        name: "more on a stream that has ended",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer],
        is_it: |found| {
            let is_refused = is_given_up_by_crate(found) || oddities::has_open_block(found.case);
            is_refused && oddities::goes_on_behind_its_end(found.case)
        },
    },
    Class {
        name: "length with a status that has no body",
        others: &[Other::H2Client],
        kinds: &[Kind::Laxer],
        is_it: |found| {
            has_list(found, |list| {
                matches!(value(list, b":status"), Some(b"204" | b"304"))
                    && value(list, b"content-length").is_some()
            })
        },
    },
    Class {
        name: "body with a status that has none",
        others: &[Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            has_list(found, |list| matches!(value(list, b":status"), Some(b"204" | b"304" | b"205")))
        },
    },
    Class {
        name: "101 in HTTP/2",
        others: &[Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| has_list(found, |list| value(list, b":status") == Some(b"101")),
    },
    Class {
        name: "malformed, and in several frames",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Laxer, Kind::Stricter],
        is_it: |found| {
            let is_it = match found.kind {
                Kind::Laxer => is_given_up_by_crate(found),
                _ => true,
            };
            is_it && oddities::has_block_in_parts(found.case)
        },
    },
    Class {
        name: "quotes in names",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| has_list(found, |list| list.iter().any(|(name, _)| name.contains(&b'"'))),
    },
    Class {
        name: "status twice",
        others: &[Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| has_list(found, |list| list.iter().filter(|(name, _)| name == b":status").count() > 1),
    },
    Class {
        name: "more behind the end of a stream",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            if found.ours.end.contains("behind the end") || oddities::goes_on_behind_its_end(found.case) {
                return true;
            }
            let lists = oddities::lists(found.case);
            let is_head = |list: &&Vec<(Vec<u8>, Vec<u8>)>| value(list, b":status").is_some();
            lists.iter().filter(is_head).count() > 1 && lists.len() > 2
        },
    },
    Class {
        name: "pseudo-fields of the other side",
        others: &[Other::H2Server, Other::H2Client],
        kinds: &[Kind::Stricter],
        is_it: |found| {
            oddities::has_pseudo_in_trailers(found.case)
                || has_list(found, |list| {
                    let has_pseudo = list.iter().any(|(name, _)| name.starts_with(b":"));
                    let is_request = value(list, b":path").is_some() || value(list, b":method").is_some();
                    match found.other {
                        Other::H2Client => {
                            has_pseudo
                                && list.iter().any(|(name, _)| name.starts_with(b":") && name != b":status")
                        }
                        _ => has_pseudo && (!is_request || value(list, b":status").is_some()),
                    }
                })
        },
    },
];
