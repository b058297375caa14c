//! Holds the snapshot in force and swaps it. One writer, the control thread; readers never wait.

use super::build::Builder;
use super::change::SnapshotChange;
use super::ports::{Ports, Unasked};
use super::{GatewayEntry, LocalNode, Snapshot};
use crate::edge_tls::certificates::ListenerCertificates;
use crate::watched_files::FileWatch;
use arc_swap::ArcSwap;
use model::{Resource, ResourceKey};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The configuration in force.
pub struct SnapshotStore {
    current: ArcSwap<Snapshot>,
    epoch: AtomicU64,
    moved: tokio::sync::watch::Sender<u64>,
    // Only the control thread takes it, for the time of one build; it makes `apply` a shared-reference call.
    builder: Mutex<Builder>,
    /// What listeners in TLS name.
    certificates: Arc<ListenerCertificates>,
    /// Files of certificates, keys and authorities.
    files: Arc<FileWatch>,
}

impl SnapshotStore {
    /// An empty configuration, epoch 0.
    pub fn new(me: &LocalNode) -> Arc<Self> {
        Self::with_ports(me, Unasked)
    }

    /// As [`SnapshotStore::new`], for a gateway: `ports` is asked before a listener is put in force.
    pub fn with_ports(me: &LocalNode, ports: impl Ports + 'static) -> Arc<Self> {
        let files = Arc::<FileWatch>::default();
        let certificates = Arc::new(ListenerCertificates::new(Arc::clone(&files)));
        let builder = Builder::new(me, Box::new(ports), Arc::clone(&certificates), Arc::clone(&files));
        let empty = builder.empty();
        Arc::new(Self {
            current: ArcSwap::from_pointee(empty),
            epoch: AtomicU64::new(0),
            moved: tokio::sync::watch::Sender::new(0),
            builder: Mutex::new(builder),
            certificates,
            files,
        })
    }

    /// The certificates of listeners in TLS, which change without a new snapshot.
    pub(crate) fn certificates(&self) -> &Arc<ListenerCertificates> {
        &self.certificates
    }

    /// The files that the configuration names, which are watched.
    pub(crate) fn files(&self) -> &Arc<FileWatch> {
        &self.files
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Changes with every swap. A worker compares it with one relaxed load and refreshes its own `Rc` or
    /// `Arc` of the snapshot when it moved.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Tells of every swap, for who opens and closes listeners; never used on the path of a request.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Builds the next snapshot aside and swaps it in; returns it.
    pub fn apply(&self, change: SnapshotChange) -> Arc<Snapshot> {
        let mut builder = self.builder.lock().unwrap_or_else(PoisonError::into_inner);
        self.swap(builder.apply(&self.current.load(), change))
    }

    /// Tries again to open listeners that could not be opened; the snapshot that has them, if that changed
    /// anything.
    pub fn reopen(&self) -> Option<Arc<Snapshot>> {
        let mut builder = self.builder.lock().unwrap_or_else(PoisonError::into_inner);
        builder.reopen(&self.current.load()).map(|next| self.swap(next))
    }

    fn swap(&self, next: Snapshot) -> Arc<Snapshot> {
        let next = Arc::new(next);
        let epoch = next.epoch;
        let before = self.current.swap(Arc::clone(&next));
        // After the pointer, so that who sees the new epoch finds at least this snapshot.
        self.epoch.store(epoch, Ordering::Release);
        self.moved.send_replace(epoch);
        if !GatewayEntry::speak_alike(before.gateway.as_ref(), next.gateway.as_ref()) {
            self.certificates.tell_asked();
        }
        next
    }

    /// All resources held, for the last good file. Copies them: call rarely.
    pub fn resources(&self) -> Vec<(ResourceKey, Resource)> {
        let builder = self.builder.lock().unwrap_or_else(PoisonError::into_inner);
        builder.resources(&self.current.load())
    }
}
