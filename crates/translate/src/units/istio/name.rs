//! Which hosts Istio's objects mean by what they write.

use crate::units::host::service_host;
use crate::units::{UnitKind, WorldReader};
use model::Hostname;
use model::route::HostMatch;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The host that an object of `namespace` means: a name of one label is a Service of that namespace.
pub(super) fn resolve(text: &str, namespace: &Arc<str>) -> Option<Hostname> {
    match text.contains('.') {
        true => Hostname::parse(text),
        false => service_host(&(namespace.clone(), text.into())),
    }
}

/// A host as written, with a `*` at its beginning or without one; what it is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostPattern(pub(super) Arc<str>);

impl HostPattern {
    pub(super) fn new(text: &str, namespace: &Arc<str>) -> Option<Self> {
        if text.starts_with('*') || text.parse::<IpAddr>().is_ok() {
            return Some(Self(text.into()));
        }
        resolve(text, namespace).map(|host| Self(host.as_str().into()))
    }

    /// The one host that it means; `None`: all that end so.
    pub(super) fn exact(&self) -> Option<Hostname> {
        if self.0.starts_with('*') { None } else { Hostname::parse(&self.0) }
    }

    /// What the hosts that it means end with.
    fn ending(&self) -> Option<&str> {
        self.0.strip_prefix('*')
    }

    pub(super) fn covers(&self, host: &Hostname) -> bool {
        match self.ending() {
            Some(ending) => host.as_str().len() > ending.len() && host.as_str().ends_with(ending),
            None => *self.0 == *host.as_str(),
        }
    }

    /// For a rule or listener of a gateway; `None`: all hosts.
    pub(super) fn host_match(&self) -> Option<HostMatch> {
        match self.ending() {
            None => Hostname::parse(&self.0).map(HostMatch::Exact),
            Some("") => None,
            Some(ending) => match ending.strip_prefix('.') {
                Some(suffix) => Hostname::parse(suffix).map(HostMatch::Suffix),
                None => Some(HostMatch::Ending(ending.into())),
            },
        }
    }

    /// What both mean: the narrower one; `None`: nothing.
    pub(super) fn common(&self, other: &Self) -> Option<Self> {
        let covers = |wide: &Self, narrow: &Self| match wide.ending() {
            Some(ending) => narrow.0.trim_start_matches('*').ends_with(ending),
            None => wide == narrow,
        };
        match () {
            () if covers(self, other) => Some(other.clone()),
            () if covers(other, self) => Some(self.clone()),
            () => None,
        }
    }

    /// Those that could mean a host, the most specific first: itself, `*.` and each part of its name, `*`. Others, as
    /// `*-a.example.com`, are for gateways alone.
    pub(super) fn covering(host: &Hostname) -> impl Iterator<Item = Self> {
        let text = host.as_str().to_owned();
        let suffixes: Vec<Self> =
            text.match_indices('.').map(|(dot, _)| Self(format!("*{}", &text[dot..]).into())).collect();
        [Self(text.into())].into_iter().chain(suffixes).chain([Self("*".into())])
    }

    /// The hosts of the mesh that it means, sorted.
    pub(super) fn hosts(&self, read: &WorldReader<'_>) -> Vec<Hostname> {
        if let Some(host) = self.exact() {
            return vec![host];
        }
        let outputs = read.every(&[UnitKind::Service, UnitKind::GlobalHost, UnitKind::EntryHost]).outputs();
        let services = outputs.service.values().map(|entry| &entry.service.host);
        let all = services.chain(outputs.global_host.keys()).chain(outputs.entry_host.keys());
        let mut hosts: Vec<Hostname> = all.filter(|host| self.covers(host)).cloned().collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose calls an object is for, by its `exportTo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody's.
    All,
    /// Those of these namespaces; none: nobody's.
    Namespaces(Vec<Arc<str>>),
}

impl Audience {
    pub(super) fn new(export_to: &[String], namespace: &Arc<str>) -> Self {
        if export_to.is_empty() || export_to.iter().any(|to| to == "*") {
            return Self::All;
        }
        let named = export_to.iter().filter(|to| *to != "~");
        let mut namespaces: Vec<Arc<str>> =
            named.map(|to| if to == "." { namespace.clone() } else { Arc::from(to.as_str()) }).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        Self::Namespaces(namespaces)
    }

    pub(super) fn is_nobody(&self) -> bool {
        matches!(self, Self::Namespaces(namespaces) if namespaces.is_empty())
    }

    pub(super) fn has(&self, namespace: &Arc<str>) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(namespaces) => namespaces.contains(namespace),
        }
    }
}
