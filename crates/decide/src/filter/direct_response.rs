//! Fixed answers (Envoy's `direct_response`, Istio's `HTTPDirectResponse`).

use super::{Filter, FilterRun, LocalReply, RequestHead, Verdict};
use model::Reason;
use model::filter::DirectResponse;
use std::sync::Arc;

impl Filter for DirectResponse {
    fn on_request<'f>(
        &'f self,
        _request: &mut dyn RequestHead,
        _run: &mut FilterRun<'_, 'f>,
    ) -> Result<Verdict, Reason> {
        let headers = match &*self.body {
            "" => Vec::new(),
            _ => vec![("content-type".into(), "text/plain".into())],
        };
        Ok(Verdict::Reply(LocalReply {
            status: self.status,
            headers,
            body: Arc::clone(&self.body),
            reason: None,
        }))
    }
}
