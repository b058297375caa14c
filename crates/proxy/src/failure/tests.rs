#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! What callers are told.

use super::{Failure, HEADER_FAILURE, ReplyTo, ResponseFormat};
use codec::{Reply, ResetCode};
use model::Reason;

fn check(reason: Reason, to: ReplyTo, response_format: ResponseFormat, expected: &str) {
    let told = match Failure::from(reason).reply(to, response_format) {
        Reply::Reset(ResetCode::RefusedStream) => "refused".to_owned(),
        Reply::Reset(_) => "reset".to_owned(),
        Reply::Response(response) => {
            let header = |name: &str| {
                response
                    .headers()
                    .get(name)
                    .map(|v| format!(" {name}={}", v.to_str().unwrap()))
                    .unwrap_or_default()
            };
            format!("{}{}{}", response.status().as_u16(), header("grpc-status"), header(HEADER_FAILURE))
        }
        Reply::Tunnel { .. } => "tunnel".to_owned(),
    };
    assert_eq!(told, expected, "{reason:?}");
}

#[test]
fn replies_follow_the_table() {
    use ReplyTo::{Application, Proxy};
    use ResponseFormat::{Grpc, Http};
    check(Reason::NoRoute, Application, Http, "404");
    check(Reason::NoEndpoint, Application, Http, "503");
    check(Reason::NoEndpoint, Application, Grpc, "200 grpc-status=14");
    check(Reason::ConnectFailed, Proxy, Http, "refused");
    check(Reason::UpstreamReset, Proxy, Http, "503 x-leno-failure=upstream_reset_before_response");
    check(Reason::Denied, Application, Http, "403");
    check(Reason::Denied, Application, Grpc, "200 grpc-status=7");
    check(Reason::Denied, Proxy, Http, "403 x-leno-failure=rbac_access_denied");
    check(Reason::Denied, Proxy, Grpc, "200 grpc-status=7 x-leno-failure=rbac_access_denied");
    check(Reason::DownstreamReset, Application, Http, "reset");
}
