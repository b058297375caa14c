//! TLS to endpoints outside the mesh, made ready when a snapshot is built: what a service's policies say, with
//! certificates and keys read. What cannot be made ready lets no connection through. Handshakes are begun by
//! `upstream::connect`, and `mesh_tls` has nothing to do with it.

use crate::watched_files::{self, FileWatch, FilesInUse};
use arc_swap::ArcSwapOption;
use decide::attach::Effective;
use identity::{BelievedAuthorities, backend_client_config};
use model::Hostname;
use model::backend_tls::{Authorities, BackendTls, SubjectAltName, TlsOrigination};
use model::service::Service;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Permissions that a key file must not give: to anybody but its owner and its group.
const OTHERS: u32 = 0o007;

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

/// TLS of one service.
pub(crate) struct BackendTlsClient {
    /// Connections are pooled by it: one that was made otherwise is not used for this.
    pub(crate) id: NonZeroU32,
    /// Host of the service.
    host: Hostname,
    /// Or why no connection may be made, whatever the files are.
    tls: Result<Arc<Originated>, Arc<str>>,
}

/// TLS that can be meant, and what was made of it.
struct Originated {
    host: Hostname,
    tls: TlsOrigination,
    /// Of the last files that could be used; `None`: there were none.
    ready: ArcSwapOption<Ready>,
}

struct Ready {
    name: ServerName<'static>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    opaque: Arc<ClientConfig>,
}

impl fmt::Debug for BackendTlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendTlsClient")
            .field("id", &self.id)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl FilesInUse for Originated {
    fn paths(&self) -> Vec<&str> {
        let authorities = match &self.tls.authorities {
            Authorities::File(path) => Some(&**path),
            Authorities::System | Authorities::Pem(_) | Authorities::Unchecked => None,
        };
        let own = self.tls.client_certificate.iter().flat_map(|own| [&*own.certificate, &*own.private_key]);
        authorities.into_iter().chain(own).collect()
    }

    fn read(&self) {
        match ready(&self.host, &self.tls) {
            Ok(ready) => self.ready.store(Some(Arc::new(ready))),
            Err(why) if self.ready.load().is_some() => {
                tracing::warn!(host = %self.host, why, "new files for TLS to this service cannot be used; the last ones stay");
            }
            Err(why) => told_unusable(&self.host, &why),
        }
    }
}

impl BackendTlsClient {
    fn new(host: &Hostname, tls: Result<TlsOrigination, Arc<str>>, files: &FileWatch) -> Self {
        static NEXT_ID: AtomicU32 = AtomicU32::new(1);
        let tls =
            tls.map(|tls| Arc::new(Originated { host: host.clone(), tls, ready: ArcSwapOption::empty() }));
        match &tls {
            Ok(originated) => files.add(originated),
            Err(why) => told_unusable(host, why),
        }
        // After four thousand million of them some come again, long after their connections have ended.
        let id = NonZeroU32::new(NEXT_ID.fetch_add(1, Ordering::Relaxed)).unwrap_or(NonZeroU32::MAX);
        Self { id, host: host.clone(), tls }
    }

    /// Whom to ask for, and how; `None`: no connection may be made. Never waits for a file.
    pub(crate) fn handshake(&self, payload: TlsPayload) -> Option<(ServerName<'static>, Arc<ClientConfig>)> {
        let ready = self.tls.as_ref().ok()?.ready.load();
        let ready = ready.as_ref()?;
        let config = match payload {
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
    pub(crate) fn new(service: &Service, says: &Effective, files: &FileWatch) -> Option<Arc<Self>> {
        if says.tls.is_none() && says.port_tls.is_empty() {
            return None;
        }
        let client = |tls: &BackendTls| client(service, tls, files).map(Arc::new);
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

fn client(service: &Service, tls: &BackendTls, files: &FileWatch) -> Option<BackendTlsClient> {
    let tls = match tls {
        BackendTls::Disable => return None,
        BackendTls::Unusable(why) => Err(Arc::clone(why)),
        BackendTls::Originate(tls) => Ok(with_described_names(service, tls)),
    };
    Some(BackendTlsClient::new(&service.host, tls, files))
}

/// Where a policy names nobody, whoever described the service may have.
fn with_described_names(service: &Service, tls: &TlsOrigination) -> TlsOrigination {
    let mut tls = tls.clone();
    if tls.subject_alt_names.is_empty() {
        let described = service.external.iter().flat_map(|external| &external.subject_alt_names);
        tls.subject_alt_names = described.map(|name| SubjectAltName::of(name)).collect();
    }
    tls
}

fn told_unusable(host: &Hostname, why: &str) {
    tracing::warn!(%host, why, "nothing is sent to this service: its TLS cannot be used");
}

fn ready(host: &Hostname, tls: &TlsOrigination) -> Result<Ready, String> {
    let name = tls.server_name.as_deref().unwrap_or(host.as_str());
    let name = ServerName::try_from(name.to_owned()).map_err(|error| format!("`{name}`: {error}"))?;
    let read = |path: &str| watched_files::read(path).map_err(|error| format!("read {path}: {error}"));
    let file;
    let authorities = match &tls.authorities {
        Authorities::System => BelievedAuthorities::System,
        Authorities::Unchecked => BelievedAuthorities::Anybody,
        Authorities::Pem(text) => BelievedAuthorities::Pem(text.as_bytes()),
        Authorities::File(path) => {
            file = read(path)?;
            BelievedAuthorities::Pem(&file)
        }
    };
    let own = match &tls.client_certificate {
        None => None,
        Some(files) => {
            is_private(&files.private_key)?;
            Some((read(&files.certificate)?, read(&files.private_key)?))
        }
    };
    let own = own.as_ref().map(|(chain, key)| (&***chain, &***key));
    let config = backend_client_config(authorities, &tls.subject_alt_names, own);
    let config = config.map_err(|error| error.to_string())?;
    let with = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    };
    Ok(Ready { name, http1: with(&[b"http/1.1"]), http2: with(&[b"h2"]), opaque: with(&[]) })
}

fn is_private(key: &str) -> Result<(), String> {
    let about = std::fs::metadata(key).map_err(|error| format!("read {key}: {error}"))?;
    match about.mode() & OTHERS {
        0 => Ok(()),
        _ => Err(format!("{key}: others than its owner and its group may read it: chmod o-rwx")),
    }
}
