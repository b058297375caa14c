//! What is said of who calls a gateway's listener (`client` of a TrafficPolicy), as far as it is about heads of requests.
//! Made once for a connection; where nothing is said there is none of it.

use super::Fields;
use super::client_cert::{client_cert_of_caller, take_client_cert};
use crate::edge_tls::client_certificate::{ClientCertificate, ClientValidity};
use bytes::Bytes;
use codec::ServerOptions;
use decide::client_cert::{forwarding, joined};
use decide::forwarded::{self, EXTERNAL_ADDRESS, EntryPoint, Forwarded};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use model::client_traffic::{
    ClientIpDetection, ClientTraffic, ForwardClientCert, ForwardClientCertMode, UnderscoresAction,
};
use model::header::is_alias;
use model::{MeshSettings, Reason};
use std::net::IpAddr;
use std::sync::Arc;

const X_ENVOY_EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static(EXTERNAL_ADDRESS);
/// What a trusted proxy says of the host and the port that were called.
const TOLD: [HeaderName; 2] =
    [HeaderName::from_static("x-forwarded-host"), HeaderName::from_static("x-forwarded-port")];
/// Longest of them that is kept, in bytes: no host is longer.
const TOLD_BYTES_MAX: usize = 256;

/// What is said of who calls, and what its certificate makes of it.
pub(crate) struct CallerTerms {
    /// As it was when the connection came.
    pub(crate) settings: Arc<ClientTraffic>,
    /// The caller has shown a certificate that somebody vouches for.
    is_proven: bool,
    /// What is told of it, where it is.
    client_cert: Option<HeaderValue>,
}

impl CallerTerms {
    /// For a caller who has shown this.
    pub(crate) fn new(settings: Arc<ClientTraffic>, certificate: Option<&ClientCertificate>) -> Box<Self> {
        let is_proven = certificate.is_some_and(|shown| shown.validity == ClientValidity::Valid);
        let client_cert = settings.forward_client_cert.as_ref().and_then(|forward| {
            let adds = forwarding(forward.mode, is_proven).adds;
            certificate.filter(|_| adds).and_then(|shown| client_cert_of_caller(&forward.details, shown))
        });
        Box::new(Self { settings, is_proven, client_cert })
    }

    /// The times that are said, and others as they are.
    pub(crate) fn waits(&self, options: ServerOptions) -> ServerOptions {
        let ClientTraffic { http_idle_timeout, stream_idle_timeout, request_headers_timeout, .. } =
            *self.settings;
        ServerOptions {
            idle_timeout: http_idle_timeout.unwrap_or(options.idle_timeout),
            stall_timeout: stream_idle_timeout.unwrap_or(options.stall_timeout),
            write_timeout: stream_idle_timeout.unwrap_or(options.write_timeout),
            header_timeout: request_headers_timeout.unwrap_or(options.header_timeout),
            ..options
        }
    }

    /// Whether it is said how callers are known that came through proxies.
    pub(super) fn detects(&self) -> bool {
        self.settings.client_ip_detection.is_some()
    }

    /// Takes out, or refuses, names with underscores.
    ///
    /// # Errors
    /// [`Reason::UnexpectedUnderscore`].
    pub(super) fn enter(&self, headers: &mut HeaderMap) -> Result<(), Reason> {
        let has_underscore = |name: &HeaderName| name.as_str().contains('_');
        match self.settings.with_underscores {
            None | Some(UnderscoresAction::Allow) => Ok(()),
            Some(UnderscoresAction::RejectRequest) => {
                if headers.keys().any(has_underscore) {
                    Err(Reason::UnexpectedUnderscore)
                } else {
                    Ok(())
                }
            }
            Some(UnderscoresAction::DropHeader) => {
                remove(headers, |name| name.contains('_'));
                Ok(())
            }
        }
    }

    /// What is believed of who called. A header that says so and is not believed is taken out.
    ///
    /// # Errors
    /// [`Reason::ClientAddressUnknown`].
    pub(super) fn believe(
        &self,
        at: EntryPoint,
        peer: IpAddr,
        headers: &mut HeaderMap,
        settings: &MeshSettings,
    ) -> Result<Option<Forwarded>, Reason> {
        let Some(detection) = &self.settings.client_ip_detection else {
            return Ok(forwarded::believe(&settings.http, at, peer, &Fields(&*headers)));
        };
        let believed = forwarded::detect(detection, peer, &Fields(&*headers))?;
        if let ClientIpDetection::CustomHeader(header) = detection {
            let is_believed = believed.is_some();
            // Applications may take another spelling for it.
            let is_spelled = |name: &str| is_alias(name.as_bytes(), header.name.as_bytes());
            remove(headers, |name| is_spelled(name) && !(is_believed && *name == *header.name));
        }
        Ok(believed)
    }

    /// What the application is told of the caller's certificate. Takes out what came.
    pub(super) fn client_cert(&self, headers: &mut HeaderMap) -> Option<HeaderValue> {
        let ForwardClientCert { mode, .. } = self.settings.forward_client_cert.as_ref()?;
        if *mode == ForwardClientCertMode::Sanitize {
            return None;
        }
        let came = take_client_cert(headers);
        let (came, own) = (came.as_ref(), self.client_cert.as_ref());
        let bytes = |value: Option<&HeaderValue>| value.map(|value| value.as_bytes().to_vec());
        let (came, own) = (bytes(came), bytes(own));
        let value = joined(forwarding(*mode, self.is_proven), came.as_deref(), own.as_deref())?;
        HeaderValue::from_maybe_shared(Bytes::from(value)).ok()
    }
}

fn remove(headers: &mut HeaderMap, is_meant: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_meant(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Tells whom a gateway takes for the caller.
pub(super) fn tell_client(headers: &mut HeaderMap, client: IpAddr) {
    let text = Bytes::from(client.to_canonical().to_string());
    if let Ok(value) = HeaderValue::from_maybe_shared(text) {
        headers.insert(X_ENVOY_EXTERNAL_ADDRESS, value);
    }
}

/// What a proxy that is believed says of the host and the port that were called.
pub(super) fn told_host_and_port(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut told = Vec::new();
    for name in TOLD {
        let mut values = headers.get_all(&name).iter();
        let (first, second) = (values.next(), values.next());
        if let (Some(value), None) = (first, second)
            && value.len() <= TOLD_BYTES_MAX
        {
            told.push((name, value.clone()));
        }
    }
    told
}
