//! TLS to endpoints outside the mesh, made ready when a snapshot is built: what a service's policies say, with
//! certificates and keys read. What cannot be made ready lets no connection through. Handshakes are begun by
//! `upstream::connect`, and `mesh_tls` has nothing to do with it.

use crate::watched_files::{self, FileStamp};
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
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Files are looked at for a change at most this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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
    /// `None`: what is meant cannot be done, whatever the files are.
    tls: Option<TlsOrigination>,
    // Taken once for each connection that is made.
    made: Mutex<Made>,
}

/// What was made of it, of files as they were.
struct Made {
    ready: Option<Arc<Ready>>,
    stamps: Vec<Option<FileStamp>>,
    looked: Instant,
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

impl BackendTlsClient {
    fn new(host: &Hostname, tls: Result<TlsOrigination, Arc<str>>) -> Self {
        static NEXT_ID: AtomicU32 = AtomicU32::new(1);
        if let Err(why) = &tls {
            told_unusable(host, why);
        }
        let tls = tls.ok();
        let stamps = tls.as_ref().map(stamps).unwrap_or_default();
        let ready = tls.as_ref().and_then(|tls| make_ready(host, tls));
        let made = Mutex::new(Made { ready, stamps, looked: Instant::now() });
        // After four thousand million of them some come again, long after their connections have ended.
        let id = NonZeroU32::new(NEXT_ID.fetch_add(1, Ordering::Relaxed)).unwrap_or(NonZeroU32::MAX);
        Self { id, host: host.clone(), tls, made }
    }

    /// Whom to ask for, and how; `None`: no connection may be made. Files that are others than before are read again; if
    /// they cannot be used, what was made of the last ones stays.
    pub(crate) fn handshake(&self, payload: TlsPayload) -> Option<(ServerName<'static>, Arc<ClientConfig>)> {
        let tls = self.tls.as_ref()?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.stamps.is_empty() && made.looked.elapsed() >= LOOK_EVERY {
            made.looked = Instant::now();
            let now = stamps(tls);
            if now != made.stamps {
                made.stamps = now;
                made.ready = make_ready(&self.host, tls).or_else(|| made.ready.take());
            }
        }
        let ready = made.ready.as_ref()?;
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
    let tls = match tls {
        BackendTls::Disable => return None,
        BackendTls::Unusable(why) => Err(Arc::clone(why)),
        BackendTls::Originate(tls) => Ok(with_described_names(service, tls)),
    };
    Some(BackendTlsClient::new(&service.host, tls))
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

/// The files that it is made of.
fn files(tls: &TlsOrigination) -> impl Iterator<Item = &str> {
    let authorities = match &tls.authorities {
        Authorities::File(path) => Some(&**path),
        Authorities::System | Authorities::Pem(_) | Authorities::Unchecked => None,
    };
    let own = tls.client_certificate.iter().flat_map(|own| [&*own.certificate, &*own.private_key]);
    authorities.into_iter().chain(own)
}

fn stamps(tls: &TlsOrigination) -> Vec<Option<FileStamp>> {
    files(tls).map(watched_files::stamp).collect()
}

fn make_ready(host: &Hostname, tls: &TlsOrigination) -> Option<Arc<Ready>> {
    ready(host, tls).inspect_err(|why| told_unusable(host, why)).ok().map(Arc::new)
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
