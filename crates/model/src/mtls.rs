//! What a workload takes from its callers: mutual TLS, plaintext, or both, in the words of Istio's `PeerAuthentication`.
//! Several objects say so for one workload; `decide::mtls` says which of them counts.
//!
//! What nobody says is [`MtlsMode::Strict`]: whoever proves nothing is refused.

use crate::origin::Origin;
use std::collections::BTreeMap;

/// What one port of a workload takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MtlsMode {
    /// Mutual TLS alone.
    #[default]
    Strict,
    /// Mutual TLS and plaintext.
    Permissive,
    /// Plaintext alone.
    Disable,
}

impl MtlsMode {
    /// As users write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "STRICT",
            Self::Permissive => "PERMISSIVE",
            Self::Disable => "DISABLE",
        }
    }

    /// Whether it takes what came by this way.
    pub const fn takes(self, by: TransportSecurity) -> bool {
        match by {
            TransportSecurity::MutualTls => !matches!(self, Self::Disable),
            TransportSecurity::Plaintext => !matches!(self, Self::Strict),
        }
    }
}

/// How bytes come to a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportSecurity {
    /// From a proxy, which proved who calls.
    MutualTls,
    /// From whoever can reach the port.
    Plaintext,
}

/// What the ports of a workload take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboundMtls {
    /// Every port that is not named.
    pub mode: MtlsMode,
    /// Ports of the application that take something else.
    pub ports: BTreeMap<u16, MtlsMode>,
}

impl InboundMtls {
    /// What a port of the application takes.
    pub fn at(&self, port: u16) -> MtlsMode {
        self.ports.get(&port).copied().unwrap_or(self.mode)
    }
}

/// What holds for a workload, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveMtls {
    /// For every port that is not named.
    pub mode: ModeOrigin,
    /// For ports that `portLevelMtls` names.
    pub ports: BTreeMap<u16, ModeOrigin>,
}

/// A mode, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModeOrigin {
    /// The mode.
    pub mode: MtlsMode,
    /// Object and line; `None`: nobody, it is the default.
    pub origin: Option<Origin>,
}

impl EffectiveMtls {
    /// What holds for a port of the application.
    pub fn at(&self, port: u16) -> &ModeOrigin {
        self.ports.get(&port).unwrap_or(&self.mode)
    }

    /// The same as proxies have it.
    pub fn inbound(&self) -> InboundMtls {
        let differing = self.ports.iter().filter(|(_, port)| port.mode != self.mode.mode);
        InboundMtls {
            mode: self.mode.mode,
            ports: differing.map(|(number, port)| (*number, port.mode)).collect(),
        }
    }
}

/// For whom a [`PeerAuthentication`] is, from the widest to the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerAuthenticationScope {
    /// All workloads.
    Mesh,
    /// Those of its namespace.
    Namespace,
    /// Those with the labels that it selects.
    Workload,
}

/// A `PeerAuthentication`, as it concerns a workload. `None` where a mode is `UNSET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAuthentication {
    /// For whom.
    pub scope: PeerAuthenticationScope,
    /// Object and line.
    pub origin: Origin,
    /// `creationTimestamp` as seconds since the epoch: of two of one scope the older counts; 0 when unknown.
    pub created_s: u64,
    /// `mtls.mode`.
    pub mode: Option<MtlsMode>,
    /// `portLevelMtls`; of workloads alone.
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
    /// It stands for one that cannot be read, and may have said STRICT of any port.
    pub is_unreadable: bool,
}
