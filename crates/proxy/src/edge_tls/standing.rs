//! Whether a connection may go on by what its handshake has shown, though its listener may ask for something else by now:
//! a client certificate, another authority, a newer version. What the listener itself shows is no part of it, so that a
//! renewed certificate ends nothing. Looked at with each request, which costs two comparisons as long as nothing changed.

use super::certificates::ListenerCertificates;
use super::client_certificate::{ClientCertificate, ClientValidity};
use super::client_verifier::ClientVerifier;
use super::facts::EdgeTls;
use super::listener::{TlsEnd, TlsListener};
use crate::snapshot::GatewayEntry;
use decide::listener::tls_listener;
use model::listener_tls::{CIPHER_SUITES, ListenerTls, TlsVersion};
use rustls::pki_types::UnixTime;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

impl EdgeTls {
    /// Whether a caller who has shown this may go on `at` this place of the gateway. Where no listener is for it any more,
    /// nobody asks for anything else: what is drained is drained.
    pub(crate) fn stands(
        &self,
        gateway: &GatewayEntry,
        at: SocketAddr,
        certificates: &ListenerCertificates,
        now: SystemTime,
    ) -> bool {
        if self.client.as_ref().is_some_and(|client| client.has_expired(now)) {
            return false;
        }
        let by_name = || tls_listener(&gateway.gateway, at, self.server_name.as_deref());
        let index = gateway.find(&self.listener).or_else(by_name);
        let Some(listener) = index.and_then(|index| gateway.tls(index)) else {
            // One that speaks plaintext there now lets in everybody, but by no certificate.
            return index.is_none() || self.client.is_none();
        };
        // Before it is judged: what changes meanwhile is looked at again.
        let authorities = certificates.authorities_changed();
        if self.found_good.is_by(listener, authorities) {
            return true;
        }
        let stands = self.is_asked_for(listener, now);
        if stands {
            self.found_good.set(listener, authorities);
        }
        stands
    }

    fn is_asked_for(&self, listener: &TlsListener, now: SystemTime) -> bool {
        let TlsEnd::Here { client, .. } = &listener.end else { return self.version.is_none() };
        let Some(version) = self.version.and_then(spoken) else { return false };
        let versions = listener.tls.versions.min..=listener.tls.versions.max;
        versions.contains(&version)
            && offers(&listener.tls, self.cipher)
            && vouches(client.as_deref(), self.client.as_ref(), now)
    }
}

fn spoken(version: &str) -> Option<TlsVersion> {
    match version {
        "TLSv1.2" => Some(TlsVersion::V1_2),
        "TLSv1.3" => Some(TlsVersion::V1_3),
        _ => None,
    }
}

fn offers(tls: &ListenerTls, cipher: Option<&str>) -> bool {
    let is_named = |name: &Arc<str>| {
        CIPHER_SUITES.iter().any(|(iana, openssl)| **name == **iana && Some(*openssl) == cipher)
    };
    tls.cipher_suites.is_empty() || tls.cipher_suites.iter().any(is_named)
}

/// A certificate that was worth something must be worth it still; one that was worth nothing must still not be needed.
fn vouches(verifier: Option<&ClientVerifier>, shown: Option<&ClientCertificate>, now: SystemTime) -> bool {
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let is_valid = |client: &ClientCertificate| client.validity == ClientValidity::Valid;
    match (verifier, shown) {
        (None, shown) => !shown.is_some_and(is_valid),
        (Some(verifier), None) => !verifier.is_mandatory(),
        (Some(verifier), Some(client)) if is_valid(client) => {
            verifier.validity(&client.chain, now) == ClientValidity::Valid
        }
        (Some(verifier), Some(_)) => verifier.takes_anybody(),
    }
}
