//! The certificates and authorities that listeners name, each once, and always the last good ones.
//!
//! A Secret's pair comes with the configuration; files are read when a listener first names them, and again when they
//! change. What cannot be used leaves in force what was there, and is told. Handshakes read what is current, so that
//! nothing is closed or built anew for a new certificate.

use super::certificate::{CertificatePemError, ServerCertificate, certificates};
use crate::watched_files::{self, FileWatch, FilesInUse};
use arc_swap::ArcSwapOption;
use model::listener_tls::{CertificateRef, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{DistinguishedName, RootCertStore};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// One thing that listeners name: what is in force of it.
pub(crate) struct GoodSlot<T> {
    current: ArcSwapOption<T>,
    /// Why what is there now is not in force.
    fault: Mutex<Option<Arc<str>>>,
}

impl<T> Default for GoodSlot<T> {
    fn default() -> Self {
        Self { current: ArcSwapOption::empty(), fault: Mutex::default() }
    }
}

impl<T> GoodSlot<T> {
    /// What is in force; `None`: nothing ever was, or it is gone.
    pub(crate) fn current(&self) -> Option<Arc<T>> {
        self.current.load_full()
    }

    /// Why what is there now is not in force.
    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what was read; a fault is told once, and so is its end.
    fn set(&self, what: &dyn fmt::Display, read: Result<T, String>) {
        let fault = match read {
            Ok(good) => {
                self.current.store(Some(Arc::new(good)));
                None
            }
            Err(why) => Some(Arc::<str>::from(why)),
        };
        let before =
            std::mem::replace(&mut *self.fault.lock().unwrap_or_else(PoisonError::into_inner), fault.clone());
        match fault {
            Some(why) if before.as_ref() != Some(&why) => {
                let stays =
                    if self.current.load().is_some() { "the last good one stays" } else { "there is none" };
                tracing::error!(%what, error = %why, "cannot use a certificate; {stays}");
            }
            None => tracing::info!(%what, "certificate in use"),
            Some(_) => {}
        }
    }

    fn clear(&self) {
        self.current.store(None);
    }
}

impl<T> fmt::Debug for GoodSlot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.current.load().is_some() { "GoodSlot(in force)" } else { "GoodSlot(empty)" })
    }
}

/// Who vouches for callers, out of one bundle.
#[derive(Debug)]
pub(crate) struct CaRoots {
    /// Asks whether a chain ends at one of them.
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
    /// Their names.
    pub(crate) subjects: Vec<DistinguishedName>,
}

impl CaRoots {
    /// Reads a bundle.
    pub(crate) fn read(pem: &[u8]) -> Result<Self, CertificatePemError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(pem)? {
            store.add(certificate).map_err(|_| CertificatePemError::Malformed)?;
        }
        let subjects = store.subjects();
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), identity::provider());
        let verifier = builder.build().map_err(|_| CertificatePemError::NoCertificate)?;
        Ok(Self { verifier, subjects })
    }
}

/// Everything that listeners name. One for a proxy.
pub(crate) struct ListenerCertificates {
    known: Mutex<Known>,
    files: Arc<FileWatch>,
    asked: Arc<AskedOfCallers>,
}

#[derive(Default)]
struct Known {
    pairs: BTreeMap<CertificateRef, Arc<PairInUse>>,
    bundles: BTreeMap<Arc<str>, Arc<BundleInUse>>,
    /// Of Secrets, as they came.
    secrets: HashMap<(Arc<str>, Arc<str>), KeyPair>,
}

struct PairInUse {
    named: CertificateRef,
    slot: Arc<GoodSlot<ServerCertificate>>,
}

struct BundleInUse {
    path: Arc<str>,
    slot: Arc<GoodSlot<CaRoots>>,
    asked: Arc<AskedOfCallers>,
}

/// What may end connections that are open.
#[derive(Default)]
struct AskedOfCallers {
    /// How often authorities in files have changed.
    authorities: AtomicU64,
    /// Counts that, and what listeners have come to ask for.
    changes: watch::Sender<u64>,
}

impl FilesInUse for PairInUse {
    fn paths(&self) -> Vec<&str> {
        match &self.named {
            CertificateRef::Files { certificate, key } => vec![certificate, key],
            CertificateRef::Secret { .. } => Vec::new(),
        }
    }

    fn read(&self) {
        if let CertificateRef::Files { certificate, key } = &self.named {
            self.slot.set(&Named(&self.named), of_files(certificate, key));
        }
    }
}

impl FilesInUse for BundleInUse {
    fn paths(&self) -> Vec<&str> {
        vec![&self.path]
    }

    fn read(&self) {
        self.slot.set(&self.path, of_bundle(&self.path));
        self.asked.authorities.fetch_add(1, Ordering::Relaxed);
        self.asked.tell();
    }
}

impl AskedOfCallers {
    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl ListenerCertificates {
    /// Of none yet; `files` looks at those that listeners will name.
    pub(crate) fn new(files: Arc<FileWatch>) -> Self {
        Self { known: Mutex::default(), files, asked: Arc::default() }
    }

    /// The slot of what a listener names.
    pub(crate) fn pair(&self, named: &CertificateRef) -> Arc<GoodSlot<ServerCertificate>> {
        let mut known = self.lock();
        if let Some(pair) = known.pairs.get(named) {
            return Arc::clone(&pair.slot);
        }
        let pair = Arc::new(PairInUse { named: named.clone(), slot: Arc::default() });
        known.pairs.insert(named.clone(), Arc::clone(&pair));
        match named {
            CertificateRef::Secret { namespace, name } => {
                if let Some(found) = known.secrets.get(&(namespace.clone(), name.clone())) {
                    pair.slot.set(&Named(named), of_secret(found));
                }
            }
            CertificateRef::Files { .. } => {
                drop(known);
                self.files.add(&pair);
            }
        }
        Arc::clone(&pair.slot)
    }

    /// The slot of a file of authorities.
    pub(crate) fn bundle(&self, path: &Arc<str>) -> Arc<GoodSlot<CaRoots>> {
        let mut known = self.lock();
        if let Some(bundle) = known.bundles.get(path) {
            return Arc::clone(&bundle.slot);
        }
        let asked = Arc::clone(&self.asked);
        let bundle = Arc::new(BundleInUse { path: Arc::clone(path), slot: Arc::default(), asked });
        known.bundles.insert(Arc::clone(path), Arc::clone(&bundle));
        drop(known);
        self.files.add(&bundle);
        Arc::clone(&bundle.slot)
    }

    /// Takes over the pair of a Secret.
    pub(crate) fn put(&self, pair: KeyPair) {
        let mut known = self.lock();
        let (namespace, name) = (pair.namespace.clone(), pair.name.clone());
        let named = CertificateRef::Secret { namespace: namespace.clone(), name: name.clone() };
        if let Some(used) = known.pairs.get(&named) {
            used.slot.set(&Named(&named), of_secret(&pair));
        }
        known.secrets.insert((namespace, name), pair);
    }

    /// The Secret is gone, and with it what was in force of it.
    pub(crate) fn remove(&self, namespace: &Arc<str>, name: &Arc<str>) {
        let mut known = self.lock();
        let (namespace, name) = (namespace.clone(), name.clone());
        if let Some(used) =
            known.pairs.get(&CertificateRef::Secret { namespace: namespace.clone(), name: name.clone() })
        {
            used.slot.clear();
        }
        known.secrets.remove(&(namespace, name));
    }

    /// Forgets what no listener names any more.
    pub(crate) fn keep_only(&self, pairs: &HashSet<&CertificateRef>, bundles: &HashSet<&Arc<str>>) {
        let mut known = self.lock();
        known.pairs.retain(|named, _| pairs.contains(named));
        known.bundles.retain(|path, _| bundles.contains(path));
    }

    /// What cannot be put in force, by name.
    pub(crate) fn faults(&self) -> Vec<(String, Arc<str>)> {
        let known = self.lock();
        let pairs = known
            .pairs
            .iter()
            .filter_map(|(named, used)| Some((Named(named).to_string(), used.slot.fault()?)));
        let bundles =
            known.bundles.iter().filter_map(|(path, used)| Some((path.to_string(), used.slot.fault()?)));
        pairs.chain(bundles).collect()
    }

    /// All pairs, for who tells of them.
    pub(crate) fn pairs(&self) -> Vec<(String, Arc<GoodSlot<ServerCertificate>>)> {
        let known = self.lock();
        known.pairs.iter().map(|(named, used)| (Named(named).to_string(), Arc::clone(&used.slot))).collect()
    }

    /// How often authorities in files have changed, for who remembers what they said.
    pub(crate) fn authorities_changed(&self) -> u64 {
        self.asked.authorities.load(Ordering::Relaxed)
    }

    /// Listeners ask for something else of callers, from now on.
    pub(crate) fn tell_asked(&self) {
        self.asked.tell();
    }

    /// Tells when listeners have come to ask for something else of callers, though not always what.
    pub(crate) fn asked(&self) -> watch::Receiver<u64> {
        self.asked.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As a person would name it.
struct Named<'a>(&'a CertificateRef);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CertificateRef::Secret { namespace, name } => write!(f, "Secret/{name}.{namespace}"),
            CertificateRef::Files { certificate, .. } => f.write_str(certificate),
        }
    }
}

fn of_secret(pair: &KeyPair) -> Result<ServerCertificate, String> {
    ServerCertificate::read(pair.certificate.as_bytes(), pair.key.expose().as_bytes())
        .map_err(|why| why.to_string())
}

fn of_files(certificate: &str, key: &str) -> Result<ServerCertificate, String> {
    let read = |path: &str| watched_files::read(path).map_err(|error| format!("{path}: {error}"));
    ServerCertificate::read(&read(certificate)?, &read(key)?)
        .map_err(|why| format!("{certificate}, {key}: {why}"))
}

fn of_bundle(path: &str) -> Result<CaRoots, String> {
    let content = watched_files::read(path).map_err(|error| format!("{path}: {error}"))?;
    CaRoots::read(&content).map_err(|why| format!("{path}: {why}"))
}
