#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::parse;
use crate::measured::Load;

#[test]
fn the_words_of_wrk_are_understood() {
    let text = "
Running 5s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Latency Distribution
     50%  512.00us
     99%    1.25ms
  251234 requests in 5.10s, 50.1MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:  50000.00
";
    let expected = Load { requests: 251_234.0, seconds: 5.1, p50_ms: 0.512, p99_ms: 1.25, errors: 7.0 };
    assert_eq!(parse(text), Some(expected));
    assert_eq!(parse("unable to connect"), None);
}
