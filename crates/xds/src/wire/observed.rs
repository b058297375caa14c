//! Who came to a proxy's application. Times travel as ages, so that the clocks of two hosts need not agree.

use super::service::{mode_in, mode_out};
use super::{DecodeError, bad, ip_in, ip_out, list, needed, small};
use crate::proto::leno::mesh::v1 as p;
use model::observed::{
    ConnectionCount, ConnectionTally, MUTUAL_TLS_PORTS_MAX, ObservedInbound, PLAINTEXT_CALLERS_MAX,
    PlaintextCaller, REFUSED_CALLERS_MAX,
};
use std::time::{Duration, SystemTime};

/// Entries of one list; a proxy tells fewer, and to find the oldest of many would hold up the control plane.
const ENTRIES_MAX: usize = 1024;

/// As it is told at `now`.
pub fn observed_out(observed: &ObservedInbound, now: SystemTime) -> p::ObservedInbound {
    let count = |count: &ConnectionCount| p::ConnectionCount {
        total: count.total,
        open: count.open,
        age_ms: millis(now.duration_since(count.last).unwrap_or_default()),
    };
    let caller = |(caller, connections): (&PlaintextCaller, &ConnectionCount)| p::PlaintextCaller {
        port: caller.port.into(),
        address: ip_out(caller.address),
        mode: mode_out(caller.mode),
        connections: Some(count(connections)),
    };
    let port = |(port, connections): (&u16, &ConnectionCount)| p::MutualTlsPort {
        port: (*port).into(),
        connections: Some(count(connections)),
    };
    p::ObservedInbound {
        uptime_ms: millis(now.duration_since(observed.started).unwrap_or_default()),
        report_every_ms: u32::try_from(observed.report_every.as_millis()).unwrap_or(u32::MAX),
        plaintext: observed.plaintext.counted.iter().map(caller).collect(),
        plaintext_unnamed: observed.plaintext.unnamed.as_ref().map(count),
        refused: observed.refused.counted.iter().map(caller).collect(),
        refused_unnamed: observed.refused.unnamed.as_ref().map(count),
        mutual_tls: observed.mutual_tls.counted.iter().map(port).collect(),
        mutual_tls_unnamed: observed.mutual_tls.unnamed.as_ref().map(count),
    }
}

/// What was told at `now`, within the limits of one proxy, whoever sent it.
///
/// # Errors
/// The field that cannot be read.
pub fn observed_in(told: &p::ObservedInbound, now: SystemTime) -> Result<ObservedInbound, DecodeError> {
    for (field, entries) in [
        ("plaintext", told.plaintext.len()),
        ("refused", told.refused.len()),
        ("mutual_tls", told.mutual_tls.len()),
    ] {
        if entries > ENTRIES_MAX {
            return Err(bad(field, format!("{entries} entries, more than {ENTRIES_MAX}")));
        }
    }
    let epoch = SystemTime::UNIX_EPOCH;
    let before =
        |age_ms: u64| now.checked_sub(Duration::from_millis(age_ms)).map_or(epoch, |at| at.max(epoch));
    let count = |told: &p::ConnectionCount| ConnectionCount {
        total: told.total,
        open: told.open,
        last: before(told.age_ms),
    };
    let caller = |told: &p::PlaintextCaller| {
        let key = PlaintextCaller {
            port: small("port", told.port)?,
            address: ip_in("address", &told.address)?,
            mode: mode_in(told.mode)?,
        };
        Ok((key, count(needed("connections", &told.connections)?)))
    };
    let port = |told: &p::MutualTlsPort| {
        Ok((small("port", told.port)?, count(needed("connections", &told.connections)?)))
    };
    let unnamed = |told: &Option<p::ConnectionCount>| told.as_ref().map(count);
    Ok(ObservedInbound {
        started: before(told.uptime_ms),
        report_every: Duration::from_millis(told.report_every_ms.into()),
        plaintext: tally(
            list("plaintext", &told.plaintext, caller)?,
            unnamed(&told.plaintext_unnamed),
            PLAINTEXT_CALLERS_MAX,
        ),
        refused: tally(
            list("refused", &told.refused, caller)?,
            unnamed(&told.refused_unnamed),
            REFUSED_CALLERS_MAX,
        ),
        mutual_tls: tally(
            list("mutual_tls", &told.mutual_tls, port)?,
            unnamed(&told.mutual_tls_unnamed),
            MUTUAL_TLS_PORTS_MAX,
        ),
    })
}

fn tally<K: Ord + Copy>(
    counted: Vec<(K, ConnectionCount)>,
    unnamed: Option<ConnectionCount>,
    most: usize,
) -> ConnectionTally<K> {
    let mut tally = ConnectionTally::default();
    for (key, count) in counted {
        tally.add(key, count, most);
    }
    unnamed.into_iter().for_each(|count| tally.add_unnamed(count));
    tally
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
