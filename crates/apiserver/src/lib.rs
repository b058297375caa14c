//! Layer 4. The Kubernetes-shaped API for meshes without Kubernetes, and its store.
//!
//! Holds no mesh semantics: what an object means and whether it may be applied is asked of a
//! [`Backend`]. The store keeps bytes under names, durably, and never a private key.
//! Read `store` first, then `backend`, then `http`.

pub mod backend;
mod batch;
pub mod disk;
pub mod http;
pub mod memory;
mod path;
mod reply;
pub mod store;

pub use backend::{ApiError, Applied, Backend, Batch, Changed, Item, ObjectTarget, ServedKind};
pub use disk::DiskStore;
pub use memory::MemoryStore;
pub use store::{Change, Row, Store, StoreError, Swap, Table};
