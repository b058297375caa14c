//! Reports of who came to an application: what is told is heard, by another clock; nonsense is named.

use crate::proto::leno::mesh::v1 as p;
use crate::wire::{observed_in, observed_out};
use model::mtls::MtlsMode;
use model::observed::{
    ConnectionCount, ConnectionTally, ObservedInbound, PLAINTEXT_CALLERS_MAX, PlaintextCaller,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn report(shift_s: u64) -> ObservedInbound {
    let count = |total, open, last| ConnectionCount { total, open, last: at(last + shift_s) };
    let caller = |port, address: IpAddr, mode| PlaintextCaller { port, address, mode };
    let v4 = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let mut plaintext = ConnectionTally::default();
    plaintext.counted.insert(caller(8080, v4, MtlsMode::Permissive), count(3, 1, 70));
    plaintext.counted.insert(caller(8080, v6, MtlsMode::Disable), count(1, 0, 80));
    let mut refused = ConnectionTally::default();
    refused.counted.insert(caller(22, v4, MtlsMode::Strict), count(9, 0, 90));
    refused.unnamed = Some(count(2, 0, 60));
    let mut mutual_tls = ConnectionTally::default();
    mutual_tls.counted.insert(8080, count(12, 0, 99));
    ObservedInbound {
        started: at(50 + shift_s),
        report_every: Duration::from_secs(5),
        plaintext,
        refused,
        mutual_tls,
    }
}

#[test]
fn ages_arrive_whatever_the_other_clock_says() {
    let told = observed_out(&report(0), at(100));
    assert_eq!(observed_in(&told, at(100)), Ok(report(0)));
    assert_eq!(observed_in(&told, at(1100)), Ok(report(1000)));
}

#[test]
fn what_cannot_be_read_is_named_and_too_much_is_counted_without_names() {
    let check = |change: fn(&mut p::ObservedInbound), field: &str| {
        let mut told = observed_out(&report(0), at(100));
        change(&mut told);
        assert_eq!(observed_in(&told, at(100)).map_err(|error| error.field), Err(field.to_owned()));
    };
    check(|told| told.plaintext[1].address = vec![1, 2, 3].into(), "plaintext[1].address");
    check(|told| told.plaintext[0].port = 65_536, "plaintext[0].port");
    check(|told| told.refused[0].mode = 0, "refused[0].mode");
    check(|told| told.plaintext = vec![told.plaintext[0].clone(); 1025], "plaintext");
    check(|told| told.mutual_tls = vec![told.mutual_tls[0]; 1025], "mutual_tls");
    check(|told| told.mutual_tls[0].connections = None, "mutual_tls[0].connections");
    let mut told = observed_out(&report(0), at(100));
    let one = told.plaintext[1].clone();
    told.plaintext = (0..300).map(|port| p::PlaintextCaller { port, ..one.clone() }).collect();
    let read = observed_in(&told, at(100)).unwrap();
    assert_eq!(read.plaintext.counted.len(), PLAINTEXT_CALLERS_MAX);
    assert_eq!(read.plaintext.unnamed.unwrap().total, 300 - PLAINTEXT_CALLERS_MAX as u64);
    // Of another age of the world.
    told.uptime_ms = u64::MAX;
    assert_eq!(observed_in(&told, at(100)).unwrap().started, SystemTime::UNIX_EPOCH);
}
