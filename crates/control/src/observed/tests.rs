use super::*;
use model::mtls::MtlsMode;
use model::observed::{ConnectionCount, ConnectionTally, PLAINTEXT_CALLERS_MAX, PlaintextCaller};
use std::net::Ipv4Addr;
use std::time::{Duration, UNIX_EPOCH};

fn seen(callers: usize) -> ObservedInbound {
    let mut plaintext = ConnectionTally::default();
    for number in 0..callers {
        let address = Ipv4Addr::from(number as u32).into();
        let caller = PlaintextCaller { port: 80, address, mode: MtlsMode::Permissive };
        plaintext.add(caller, ConnectionCount::came(UNIX_EPOCH), PLAINTEXT_CALLERS_MAX);
    }
    ObservedInbound {
        started: UNIX_EPOCH,
        report_every: Duration::from_secs(5),
        plaintext,
        refused: ConnectionTally::default(),
        mutual_tls: ConnectionTally::default(),
    }
}

#[test]
fn all_that_is_kept_has_a_limit_and_goes_with_the_registration() {
    let mut observed = Observed::default();
    let uid = |number: usize| Arc::from(number.to_string());
    let full = CALLERS_MAX / PLAINTEXT_CALLERS_MAX;
    let told = |observed: &Observed, number: usize| {
        let seen = &observed.find(&uid(number)).map(|told| &told.seen.plaintext);
        seen.map(|tally| (tally.counted.len(), tally.unnamed.map_or(0, |count| count.total)))
    };
    for number in 0..=full {
        observed.take(&uid(number), seen(PLAINTEXT_CALLERS_MAX), UNIX_EPOCH);
        // Told again, it takes no more room.
        observed.take(&uid(number), seen(PLAINTEXT_CALLERS_MAX), UNIX_EPOCH);
    }
    assert_eq!(told(&observed, full - 1), Some((PLAINTEXT_CALLERS_MAX, 0)));
    assert_eq!(told(&observed, full), Some((0, PLAINTEXT_CALLERS_MAX as u64)), "counted without names");
    observed.retain(|uid| uid != "0");
    assert_eq!(told(&observed, 0), None);
    observed.take(&uid(full), seen(PLAINTEXT_CALLERS_MAX), UNIX_EPOCH);
    assert_eq!(told(&observed, full), Some((PLAINTEXT_CALLERS_MAX, 0)), "there is room again");
}
