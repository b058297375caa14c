//! gRPC's own statuses beside those of HTTP (gRPC, "HTTP to gRPC Status Code Mapping"; `google.rpc.Code`), and the
//! time that its calls have (gRPC, "gRPC over HTTP2").

pub mod web;
#[cfg(test)]
mod tests;

use model::Reason;
use std::time::Duration;

/// The largest number that a time-out of gRPC says: eight digits.
const NUMBER_MAX: u128 = 99_999_999;

/// How long a call may take by its `grpc-timeout`; `None`: it says nothing that has a meaning, or 0, which is no limit
/// (as Envoy reads both).
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    let timeout = match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    };
    (!timeout.is_zero()).then_some(timeout)
}

/// The `grpc-timeout` that says `left`, in the finest unit from microseconds on that it fits into.
pub fn timeout_value(left: Duration) -> String {
    let micros = left.as_micros().max(1);
    let units = [('u', 1), ('m', 1_000), ('S', 1_000_000), ('M', 60_000_000)];
    match units.iter().find(|(_, length)| micros / length <= NUMBER_MAX) {
        Some((unit, length)) => format!("{}{unit}", micros / length),
        None => format!("{}H", (micros / 3_600_000_000).min(NUMBER_MAX)),
    }
}

/// How long something may take, and what it is called when it takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// From now on.
    pub after: Duration,
    /// Who has set it.
    pub reason: Reason,
}

/// The limit of a request by its route and by its caller: what a caller of gRPC asks for counts up to what the route
/// allows (as in Istio, `max_grpc_timeout` of Envoy). `None`: there is none.
pub fn limit(route: Option<Duration>, asked: Option<Duration>) -> Option<Limit> {
    match (route, asked) {
        (Some(route), Some(asked)) if asked < route => Some(asked),
        (None, asked) => asked,
        (Some(after), _) => return Some(Limit { after, reason: Reason::RequestTimeout }),
    }
    .map(|after| Limit { after, reason: Reason::GrpcTimeout })
}

/// The status of gRPC for an answer that only has one of HTTP.
pub fn status_of_http(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The status of HTTP that means what this one of gRPC does.
pub fn status_to_http(status: u8) -> u16 {
    match status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}
