//! What holds of a gateway's listener where several policies say how its callers are treated: what is said of the
//! listener before what is said of the gateway, by field; of one level the older counts, then the first by namespace and
//! name (Gateway API, GEP-713).

#[cfg(test)]
mod tests;

use model::Origin;
use model::client_traffic::ClientTraffic;

/// What one policy says of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientPolicy<'a> {
    /// It names this listener, and not its gateway alone.
    pub names_listener: bool,
    /// `creationTimestamp` as seconds since the epoch; 0 when unknown.
    pub created_s: u64,
    /// Object and line.
    pub origin: &'a Origin,
    /// What it says.
    pub settings: &'a ClientTraffic,
}

/// What holds, and what of it nobody hears of: the names of fields that a policy says and another one decides, by the
/// index of the policy that is not heard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MergedClientTraffic {
    /// What holds.
    pub settings: ClientTraffic,
    /// Index of the policy without effect, the field, and the index of the one that counts.
    pub outvoted: Vec<(usize, &'static str, usize)>,
}

/// Merges policies, in whatever order they are given.
pub fn merge(policies: &[ClientPolicy<'_>]) -> MergedClientTraffic {
    let mut order: Vec<usize> = (0..policies.len()).collect();
    // What counts most comes first.
    order.sort_by_key(|index| {
        let policy = &policies[*index];
        let object = &policy.origin.object;
        (!policy.names_listener, policy.created_s, object.namespace.clone(), object.name.clone())
    });
    let mut merged = MergedClientTraffic::default();
    macro_rules! field {
        ($name:literal, $field:ident) => {
            let mut by = None;
            for index in &order {
                let Some(said) = &policies[*index].settings.$field else { continue };
                match by {
                    None => {
                        by = Some(*index);
                        merged.settings.$field = Some(said.clone());
                    }
                    Some(by) if policies[by].names_listener == policies[*index].names_listener => {
                        merged.outvoted.push((*index, $name, by));
                    }
                    // The narrower is meant to count before the wider.
                    Some(_) => {}
                }
            }
        };
    }
    field!("proxyProtocol", proxy_protocol);
    field!("clientIPDetection", client_ip_detection);
    field!("headers.xForwardedClientCert", forward_client_cert);
    field!("headers.withUnderscoresAction", with_underscores);
    field!("headers.requestID", request_id);
    field!("timeout.tcp.idleTimeout", tcp_idle_timeout);
    field!("timeout.http.idleTimeout", http_idle_timeout);
    field!("timeout.http.streamIdleTimeout", stream_idle_timeout);
    field!("timeout.http.requestHeadersTimeout", request_headers_timeout);
    field!("timeout.http.requestReceivedTimeout", request_received_timeout);
    field!("timeout.http.maxConnectionDuration", max_connection_duration);
    merged
}
