//! TLS to endpoints outside the mesh, made ready when a snapshot is built: what a service's policies say, with
//! certificates and keys read. What cannot be made ready lets no connection through. Handshakes are begun by
//! `upstream::connect`, and `mesh_tls` has nothing to do with it.

use decide::attach::Effective;
use identity::backend_client_config;
use model::backend_tls::{BackendTls, SubjectAltName, TlsOrigination};
use model::service::Service;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is spoken inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsPayload {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Whatever an application says.
    Opaque,
}

/// TLS of one service, ready for handshakes.
pub(crate) struct BackendTlsClient {
    /// Connections are pooled by it: one that was made otherwise is not used for this.
    pub(crate) id: u64,
    ready: Option<Ready>,
}

struct Ready {
    name: ServerName<'static>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    opaque: Arc<ClientConfig>,
}

impl fmt::Debug for BackendTlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.ready.as_ref().map(|ready| &ready.name);
        f.debug_struct("BackendTlsClient").field("id", &self.id).field("name", &name).finish_non_exhaustive()
    }
}

impl BackendTlsClient {
    /// Whom to ask for, and how; `None`: no connection may be made.
    pub(crate) fn handshake(&self, inside: TlsPayload) -> Option<(ServerName<'static>, Arc<ClientConfig>)> {
        let ready = self.ready.as_ref()?;
        let config = match inside {
            TlsPayload::Http1 => &ready.http1,
            TlsPayload::Http2 => &ready.http2,
            TlsPayload::Opaque => &ready.opaque,
        };
        Some((ready.name.clone(), Arc::clone(config)))
    }
}

/// TLS of the ports of one host.
#[derive(Debug, Default)]
pub(crate) struct HostTls {
    all: Option<Arc<BackendTlsClient>>,
    /// Those of which something else is said; `None`: plaintext.
    ports: Vec<(u16, Option<Arc<BackendTlsClient>>)>,
}

impl HostTls {
    /// What policies say of a service; `None`: nothing.
    pub(crate) fn new(service: &Service, says: &Effective) -> Option<Arc<Self>> {
        if says.tls.is_none() && says.port_tls.is_empty() {
            return None;
        }
        let client = |tls: &BackendTls| client(service, tls).map(Arc::new);
        let ports = says.port_tls.iter().map(|(port, field)| (*port, client(&field.value)));
        let all = says.tls.as_ref().and_then(|field| client(&field.value));
        Some(Arc::new(Self { all, ports: ports.collect() }))
    }

    /// Whether policies say the same of a service as they did.
    pub(crate) fn is_same(old: &Service, old_says: &Effective, new: &Service, says: &Effective) -> bool {
        let names = |service: &Service| service.external.as_ref().map(|e| e.subject_alt_names.clone());
        old_says.tls == says.tls && old_says.port_tls == says.port_tls && names(old) == names(new)
    }

    /// TLS to this port of the service; `None`: plaintext.
    pub(crate) fn at(&self, port: u16) -> Option<&Arc<BackendTlsClient>> {
        match self.ports.iter().find(|(known, _)| *known == port) {
            Some((_, of_port)) => of_port.as_ref(),
            None => self.all.as_ref(),
        }
    }
}

fn client(service: &Service, tls: &BackendTls) -> Option<BackendTlsClient> {
    static NEXT_ID: AtomicU64 = AtomicU64::new(0);
    let ready = match tls {
        BackendTls::Disable => return None,
        BackendTls::Unusable(why) => Err(why.to_string()),
        BackendTls::Originate(tls) => ready(service, tls),
    };
    let ready = ready.inspect_err(|why| {
        tracing::warn!(host = %service.host, why, "nothing is sent to this service: its TLS cannot be used");
    });
    Some(BackendTlsClient { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), ready: ready.ok() })
}

fn ready(service: &Service, tls: &TlsOrigination) -> Result<Ready, String> {
    let name = tls.server_name.as_deref().unwrap_or(service.host.as_str());
    let name = ServerName::try_from(name.to_owned()).map_err(|error| format!("`{name}`: {error}"))?;
    let described = service.external.iter().flat_map(|external| &external.subject_alt_names);
    let config = match tls.subject_alt_names.is_empty() {
        true => backend_client_config(&TlsOrigination {
            subject_alt_names: described.map(|name| SubjectAltName::of(name)).collect(),
            ..tls.clone()
        }),
        false => backend_client_config(tls),
    };
    let config = config.map_err(|error| match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })?;
    let with = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    };
    Ok(Ready { name, http1: with(&[b"http/1.1"]), http2: with(&[b"h2"]), opaque: with(&[]) })
}
