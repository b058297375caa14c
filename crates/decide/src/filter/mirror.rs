//! Copies of requests (Gateway API `HTTPRequestMirrorFilter`, Envoy's `request_mirror_policies`). Who carries them out
//! sends them as the request leaves, and looks at no answer.

use super::{Filter, FilterRun, RequestHead, Verdict, is_among};
use crate::host;
use model::Reason;
use model::filter::Mirror;

impl Filter for Mirror {
    fn on_request<'f>(
        &'f self,
        _request: &mut dyn RequestHead,
        run: &mut FilterRun<'_, 'f>,
    ) -> Result<Verdict, Reason> {
        if is_among(self.share, run.dice) {
            run.asked.mirrors.push(self);
        }
        Ok(Verdict::Continue)
    }
}

/// The authority of a copy: the suffix comes behind the host name, and before a port.
pub fn mirrored_authority(mirror: &Mirror, authority: &str) -> String {
    let (name, _) = host::split_port(authority);
    let port = authority.get(name.len()..).unwrap_or_default();
    format!("{name}{}{port}", mirror.host_suffix)
}
