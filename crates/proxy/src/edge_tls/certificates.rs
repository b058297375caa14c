//! The certificates and authorities that listeners name, each once, and always the last good ones.
//!
//! A Secret's pair comes with the configuration; files are read when a listener first names them, and again when they
//! change. What cannot be used leaves in force what was there, and is told. Handshakes read what is current, so that
//! nothing is closed or built anew for a new certificate.

use super::certificate::{CertificatePemError, ServerCertificate, certificates};
use crate::watched_files::{self, FileStamp};
use arc_swap::ArcSwapOption;
use model::listener_tls::{CertificateRef, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{DistinguishedName, RootCertStore};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
#[derive(Default)]
pub(crate) struct ListenerCertificates {
    known: Mutex<Known>,
    /// How often authorities in files have changed.
    authorities: AtomicU64,
    /// Counts what may end connections that are open.
    asked: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    pairs: BTreeMap<CertificateRef, Arc<GoodSlot<ServerCertificate>>>,
    bundles: BTreeMap<Arc<str>, Arc<GoodSlot<CaRoots>>>,
    /// Of Secrets, as they came.
    secrets: HashMap<(Arc<str>, Arc<str>), KeyPair>,
    /// What the files were when they were read.
    stamps: HashMap<Arc<str>, Option<FileStamp>>,
}

impl ListenerCertificates {
    /// The slot of what a listener names.
    pub(crate) fn pair(&self, named: &CertificateRef) -> Arc<GoodSlot<ServerCertificate>> {
        let mut known = self.lock();
        if let Some(slot) = known.pairs.get(named) {
            return Arc::clone(slot);
        }
        let slot = Arc::default();
        known.pairs.insert(named.clone(), Arc::clone(&slot));
        match named {
            CertificateRef::Secret { namespace, name } => {
                if let Some(pair) = known.secrets.get(&(namespace.clone(), name.clone())) {
                    slot.set(&Named(named), of_secret(pair));
                }
            }
            CertificateRef::Files { certificate, key } => {
                known.note([certificate, key]);
                slot.set(&Named(named), of_files(certificate, key));
            }
        }
        slot
    }

    /// The slot of a file of authorities.
    pub(crate) fn bundle(&self, path: &Arc<str>) -> Arc<GoodSlot<CaRoots>> {
        let mut known = self.lock();
        if let Some(slot) = known.bundles.get(path) {
            return Arc::clone(slot);
        }
        let slot = Arc::default();
        known.bundles.insert(Arc::clone(path), Arc::clone(&slot));
        known.note([path]);
        slot.set(path, of_bundle(path));
        slot
    }

    /// Takes over the pair of a Secret.
    pub(crate) fn put(&self, pair: KeyPair) {
        let mut known = self.lock();
        let (namespace, name) = (pair.namespace.clone(), pair.name.clone());
        let named = CertificateRef::Secret { namespace: namespace.clone(), name: name.clone() };
        if let Some(slot) = known.pairs.get(&named) {
            slot.set(&Named(&named), of_secret(&pair));
        }
        known.secrets.insert((namespace, name), pair);
    }

    /// The Secret is gone, and with it what was in force of it.
    pub(crate) fn remove(&self, namespace: &Arc<str>, name: &Arc<str>) {
        let mut known = self.lock();
        let (namespace, name) = (namespace.clone(), name.clone());
        if let Some(slot) =
            known.pairs.get(&CertificateRef::Secret { namespace: namespace.clone(), name: name.clone() })
        {
            slot.clear();
        }
        known.secrets.remove(&(namespace, name));
    }

    /// Forgets what no listener names any more.
    pub(crate) fn keep_only(&self, pairs: &HashSet<&CertificateRef>, bundles: &HashSet<&Arc<str>>) {
        let mut known = self.lock();
        known.pairs.retain(|named, _| pairs.contains(named));
        known.bundles.retain(|path, _| bundles.contains(path));
        let Known { pairs, bundles, stamps, .. } = &mut *known;
        stamps.retain(|path, _| bundles.contains_key(path) || pairs.keys().any(|named| is_of(named, path)));
    }

    /// What cannot be put in force, by name.
    pub(crate) fn faults(&self) -> Vec<(String, Arc<str>)> {
        let known = self.lock();
        let pairs =
            known.pairs.iter().filter_map(|(named, slot)| Some((Named(named).to_string(), slot.fault()?)));
        let bundles = known.bundles.iter().filter_map(|(path, slot)| Some((path.to_string(), slot.fault()?)));
        pairs.chain(bundles).collect()
    }

    /// All pairs, for who tells of them.
    pub(crate) fn pairs(&self) -> Vec<(String, Arc<GoodSlot<ServerCertificate>>)> {
        let known = self.lock();
        known.pairs.iter().map(|(named, slot)| (Named(named).to_string(), Arc::clone(slot))).collect()
    }

    /// Reads files again that have changed. May wait for a disk.
    pub(crate) fn look(&self) {
        let mut known = self.lock();
        let paths: Vec<Arc<str>> = known.stamps.keys().cloned().collect();
        let changed: HashSet<Arc<str>> = paths.into_iter().filter(|path| known.has_changed(path)).collect();
        if changed.is_empty() {
            return;
        }
        known.note(&changed);
        for (named, slot) in &known.pairs {
            if let CertificateRef::Files { certificate, key } = named
                && (changed.contains(certificate) || changed.contains(key))
            {
                slot.set(&Named(named), of_files(certificate, key));
            }
        }
        let mut bundles = known.bundles.iter().filter(|(path, _)| changed.contains(*path)).peekable();
        let is_about_callers = bundles.peek().is_some();
        for (path, slot) in bundles {
            slot.set(path, of_bundle(path));
        }
        drop(known);
        if is_about_callers {
            self.authorities.fetch_add(1, Ordering::Relaxed);
            self.tell_asked();
        }
    }

    /// How often authorities in files have changed, for who remembers what they said.
    pub(crate) fn authorities_changed(&self) -> u64 {
        self.authorities.load(Ordering::Relaxed)
    }

    /// Listeners ask for something else of callers, from now on.
    pub(crate) fn tell_asked(&self) {
        self.asked.send_modify(|count| *count += 1);
    }

    /// Tells when listeners have come to ask for something else of callers, though not always what.
    pub(crate) fn asked(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Looks at the files again and again; never ends.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.lock().stamps.is_empty() {
                continue;
            }
            let own = Arc::clone(&self);
            // A thread of its own: a slow disk must delay nothing.
            if tokio::task::spawn_blocking(move || own.look()).await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Before it is read, so that what changes meanwhile is read again.
    fn note<'p>(&mut self, paths: impl IntoIterator<Item = &'p Arc<str>>) {
        for path in paths {
            self.stamps.insert(Arc::clone(path), watched_files::stamp(path));
        }
    }

    fn has_changed(&self, path: &Arc<str>) -> bool {
        self.stamps.get(path).is_some_and(|stamp| *stamp != watched_files::stamp(path))
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

/// Whether a pair is read from this file.
fn is_of(named: &CertificateRef, path: &Arc<str>) -> bool {
    matches!(named, CertificateRef::Files { certificate, key } if path == certificate || path == key)
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
