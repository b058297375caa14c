//! Names of things: hosts, identities, places, objects.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A DNS host name in canonical form: lower case, no trailing dot, never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(Arc<str>);

impl TryFrom<String> for Hostname {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("not a host name: {text:?}"))
    }
}

impl From<Hostname> for String {
    fn from(host: Hostname) -> Self {
        host.as_str().to_owned()
    }
}

/// Longest host name accepted, in bytes (RFC 1035 section 2.3.4).
pub const HOSTNAME_BYTES_MAX: usize = 253;

impl Hostname {
    /// Canonicalises `text`; `None` when it is not a host name of at most [`HOSTNAME_BYTES_MAX`] bytes
    /// made of letters, digits, `-`, `_` and dots (an IP literal passes too).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if text.is_empty() || text.len() > HOSTNAME_BYTES_MAX || !text.split('.').all(label_ok) {
            return None;
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            Some(Self(text.to_ascii_lowercase().into()))
        } else {
            Some(Self(text.into()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is `suffix` itself or lies below it (`a.b.c` lies below `b.c`).
    pub fn is_within(&self, suffix: &str) -> bool {
        self.0.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The name of one registration of a workload: `CLUSTER/NAMESPACE/GROUP-RANDOM`. Stands in its certificate.
pub fn uid(cluster: &str, namespace: &str, group: &str, random: &str) -> String {
    format!("{cluster}/{namespace}/{group}-{random}")
}

/// The workload group within a [`uid`]; `None` when it is none.
pub fn group_of(uid: &str) -> Option<&str> {
    let mut parts = uid.splitn(3, '/').skip(2);
    let (group, _) = parts.next()?.rsplit_once('-')?;
    (!group.is_empty() && !group.contains('/')).then_some(group)
}

/// A SPIFFE trust domain: lower-case letters, digits, `.`, `-`, `_` (SPIFFE-ID section 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Checks `text`; `None` when it breaks the SPIFFE-ID grammar.
    pub fn parse(text: &str) -> Option<Self> {
        let byte_ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        (!text.is_empty() && text.len() <= 255 && text.bytes().all(byte_ok)).then(|| Self(text.into()))
    }

    /// The trust domain as text, without a scheme.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a workload: `spiffe://<trust-domain>/ns/<namespace>/sa/<service account>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    /// Who vouches for it.
    pub trust_domain: TrustDomain,
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// Kubernetes service account.
    pub service_account: Arc<str>,
}

impl SpiffeId {
    /// Parses the one path shape that the mesh issues; anything else is `None`.
    pub fn parse(uri: &str) -> Option<Self> {
        let (trust_domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
        let mut segments = path.split('/');
        let (ns, namespace, sa, account) =
            (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
        let segment_ok = |s: &str| {
            !s.is_empty()
                && s != "."
                && s != ".."
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        if ns != "ns"
            || sa != "sa"
            || segments.next().is_some()
            || !segment_ok(namespace)
            || !segment_ok(account)
        {
            return None;
        }
        Some(Self {
            trust_domain: TrustDomain::parse(trust_domain)?,
            namespace: namespace.into(),
            service_account: account.into(),
        })
    }

    /// Istio's `principal` spelling: the URI without its scheme.
    pub fn principal(&self) -> String {
        format!("{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

/// Where something runs. Empty parts are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// For example `eu-west`.
    pub region: Arc<str>,
    /// For example `eu-west-1a`.
    pub zone: Arc<str>,
}

/// An object that a user wrote, in the words of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// For example `HTTPRoute`; see [`written_kind`].
    pub kind: Arc<str>,
    /// Empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

/// A kind as documents write it. Kinds of two groups may have one name; then that of one of them has its group behind
/// it, as Kubernetes writes kinds with groups (`Gateway.networking.istio.io`), so that a kind means one thing.
pub fn written_kind(kind: &str) -> &str {
    kind.split_once('.').map_or(kind, |(written, _)| written)
}

impl ObjectRef {
    /// Shorthand for the three parts.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}.{}", self.kind, self.name, self.namespace)
        }
    }
}
