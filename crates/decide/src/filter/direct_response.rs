//! Fixed answers (Envoy's `direct_response`, Istio's `HTTPDirectResponse`).

use super::{Filter, LocalReply, Matched, RequestHead, Verdict};
use model::Reason;
use model::filter::DirectResponse;
use std::sync::Arc;

impl Filter for DirectResponse {
    fn on_request(&self, _at: &Matched, _request: &mut dyn RequestHead) -> Result<Verdict, Reason> {
        let headers = match &*self.body {
            "" => Vec::new(),
            _ => vec![("content-type".into(), "text/plain".into())],
        };
        Ok(Verdict::Reply(LocalReply { status: self.status, headers, body: Arc::clone(&self.body) }))
    }
}
