//! Faults on purpose (Envoy's fault filter, Istio's `HTTPFaultInjection`): first some requests wait, then some fail.

use super::{Filter, FilterRun, LocalReply, RequestHead, Verdict, is_among};
use crate::grpc;
use crate::request::{first_value, is_grpc};
use model::Reason;
use model::filter::{AbortStatus, FaultInjection};

/// Envoy's text, which people search for.
const ABORTED: &str = "fault filter abort";

impl Filter for FaultInjection {
    fn on_request<'f>(
        &'f self,
        request: &mut dyn RequestHead,
        run: &mut FilterRun<'_, 'f>,
    ) -> Result<Verdict, Reason> {
        if let Some(delay) = &self.delay
            && is_among(delay.share, run.dice)
        {
            run.asked.delay = Some(delay.fixed);
        }
        match &self.abort {
            Some(abort) if is_among(abort.share, run.dice) => {
                let content_type = first_value(request.view().headers, "content-type");
                Ok(Verdict::Reply(aborted(abort.with, content_type.is_some_and(|value| is_grpc(&value)))))
            }
            _ => Ok(Verdict::Continue),
        }
    }
}

fn aborted(with: AbortStatus, is_grpc: bool) -> LocalReply {
    let reason = Some(Reason::FaultInjected);
    if is_grpc {
        let status = match with {
            AbortStatus::Http(status) => grpc::status_of_http(status),
            AbortStatus::Grpc(status) => status,
        };
        let headers = vec![
            ("content-type".into(), "application/grpc".into()),
            ("grpc-status".into(), status.to_string().into()),
            ("grpc-message".into(), ABORTED.into()),
        ];
        return LocalReply { status: 200, headers, body: "".into(), reason };
    }
    let status = match with {
        AbortStatus::Http(status) => status,
        AbortStatus::Grpc(status) => grpc::status_to_http(status),
    };
    let headers = vec![("content-type".into(), "text/plain".into())];
    LocalReply { status, headers, body: ABORTED.into(), reason }
}
