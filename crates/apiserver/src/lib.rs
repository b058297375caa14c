//! Layer 4. The Kubernetes-shaped API for meshes without Kubernetes, and its store.
//!
//! Holds no mesh semantics: what an object means and whether it may be applied is asked of a
//! [`Backend`]. The store keeps bytes under names, durably, and never a private key. Who calls is known before
//! anything is answered, and what he may do is one table.
//! Read `store` first, then `backend`, then `http`; of callers `listen`, then `serving`, then `access`.

pub mod access; // roles, and what each may
mod audit; // who changed what
pub mod backend;
pub mod backup; // all that is kept, as a file
mod batch;
mod call; // what a request asks for
mod caller; // who calls
pub mod disk;
mod door; // who is let in
mod files; // of others
pub mod http;
pub mod listen; // sockets in
mod local_roles; // users of this machine
pub mod memory;
mod options;
mod path;
mod reply;
mod reread; // files that change
pub mod serving; // the door
pub mod store;
mod stream;
mod tls;
mod tokens;

pub use access::ApiRole;
pub use backend::{ApiError, Applied, Backend, Batch, Changed, Item, ObjectTarget, ServedKind};
pub use backup::StatePlane;
pub use caller::ApiCaller;
pub use disk::DiskStore;
pub use listen::ApiListeners;
pub use memory::MemoryStore;
pub use options::ApiOptions;
pub use store::{Change, Row, Store, StoreError, StoreSnapshot, Swap, Table};
