//! The other end of a connection of the mesh, as its certificate names it. Whether to believe that certificate is
//! decided by `identity`; read `mesh_tls` for the handshake.

use model::SpiffeId;
use model::trust::Proof;
use std::rc::Rc;
use std::sync::Arc;

/// The other end, as its certificate names it: one for each connection, shared by all that it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub id: SpiffeId,
    /// The workload group of its registration. `None`: the certificate was issued to no registration.
    pub workload: Option<Box<str>>,
    /// The cluster that vouches for it. `None`: not looked at (callees), or none does.
    pub cluster: Option<Arc<str>>,
}

impl Peer {
    /// Whoever `id` and the uid in a certificate name.
    pub(crate) fn new(id: SpiffeId, uid: Option<&str>, cluster: Option<Arc<str>>) -> Rc<Self> {
        let workload = uid.and_then(model::id::group_of).map(Into::into);
        Rc::new(Self { id, workload, cluster })
    }

    /// A caller.
    pub(crate) fn of(proof: &Proof) -> Rc<Self> {
        Self::new(proof.id.clone(), proof.uid.as_deref(), proof.cluster().cloned())
    }
}
