//! What travels from a control plane to a proxy: keys, subscriptions and contents.
//!
//! A [`Subscription`] is a set of resources: a host or an address that a proxy asks for, or what is implied (its
//! inbound side, its gateway, names, settings and trust). The control plane answers with all [`Resource`]s that belong to
//! it, each under its [`ResourceKey`], in one message.

use crate::authz::Policy;
use crate::federation::RemoteCluster;
use crate::id::{Hostname, ObjectRef};
use crate::l4_route::L4Rule;
use crate::listener::{Exports, Gateway, Inbound};
use crate::listener_tls::KeyPair;
use crate::names::Names;
use crate::route::{Parent, RouteRule};
use crate::service::{EndpointSlice, Service};
use crate::settings::MeshSettings;
use crate::traffic::AttachedPolicy;
use crate::trust::TrustBundle;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What a proxy may ask for. Its text form is the resource name of the subscription.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subscription {
    /// `mesh`: names, settings and trust bundles; implied for every proxy.
    Mesh,
    /// `host/HOST`: a service, its slices, its rules, the policies attached to it, and the services that its rules
    /// lead to.
    Host(Hostname),
    /// `address/IP`: the service that owns a mesh-only address (applications cache addresses).
    Address(Ipv4Addr),
    /// `inbound/NAMESPACE/GROUP`: the inbound side of a workload group and the policies on it.
    Inbound {
        /// Namespace of the group.
        namespace: Arc<str>,
        /// Name of the group.
        group: Arc<str>,
    },
    /// `gateway/NAMESPACE/NAME`: a gateway, its rules, the services that they lead to, its policies, the key pairs that
    /// its listeners name. Of an east-west gateway the policies alone.
    Gateway {
        /// Namespace of the gateway.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
    /// `exports`: what an east-west gateway may forward to, with the services behind it.
    Exports,
    /// `clusters`: all remote clusters (management plane to control plane only).
    Clusters,
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh => f.write_str("mesh"),
            Self::Host(host) => write!(f, "host/{host}"),
            Self::Address(ip) => write!(f, "address/{ip}"),
            Self::Inbound { namespace, group } => write!(f, "inbound/{namespace}/{group}"),
            Self::Gateway { namespace, name } => write!(f, "gateway/{namespace}/{name}"),
            Self::Exports => f.write_str("exports"),
            Self::Clusters => f.write_str("clusters"),
        }
    }
}

impl Subscription {
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('/').unwrap_or((text, ""));
        let pair = || rest.split_once('/').map(|(a, b)| (Arc::<str>::from(a), Arc::<str>::from(b)));
        Some(match kind {
            "mesh" if rest.is_empty() => Self::Mesh,
            "exports" if rest.is_empty() => Self::Exports,
            "clusters" if rest.is_empty() => Self::Clusters,
            "host" => Self::Host(Hostname::parse(rest)?),
            "address" => Self::Address(rest.parse().ok()?),
            "inbound" => pair().map(|(namespace, group)| Self::Inbound { namespace, group })?,
            "gateway" => pair().map(|(namespace, name)| Self::Gateway { namespace, name })?,
            _ => return None,
        })
    }
}

/// The kind whose name a key leaves out.
const TRAFFIC_POLICY: &str = "TrafficPolicy";

/// The name of one resource. Its text form is the resource name on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKey {
    /// `names`.
    Names,
    /// `settings`; there only when one differs from its default.
    Settings,
    /// `trust/DOMAIN`.
    Trust(Arc<str>),
    /// `service/HOST`.
    Service(Hostname),
    /// `slice/HOST/INDEX`.
    Slice(Hostname, u32),
    /// `rule/PARENT/NAMESPACE/ROUTE/INDEX`, PARENT being `s:HOST:PORT` or `g:NAMESPACE:NAME:LISTENER`. Of another kind
    /// of route than `HTTPRoute`: `rule/PARENT/KIND/NAMESPACE/ROUTE/INDEX`.
    Rule {
        /// What it hangs on.
        parent: Parent,
        /// The route.
        route: ObjectRef,
        /// Which rule.
        index: u32,
    },
    /// `l4-rule/PARENT/KIND/NAMESPACE/ROUTE/INDEX`, PARENT as above. Routes of several kinds have such rules, so the kind is
    /// part of the name.
    L4Rule {
        /// What it hangs on.
        parent: Parent,
        /// The route.
        route: ObjectRef,
        /// Which rule.
        index: u32,
    },
    /// `traffic-policy/HOST/NAMESPACE/NAME`, and `/KIND` behind it if that is another than `TrafficPolicy`: a policy
    /// that is attached to a service.
    TrafficPolicy {
        /// The service.
        host: Hostname,
        /// Kind of the policy.
        kind: Arc<str>,
        /// Namespace of the policy.
        namespace: Arc<str>,
        /// Name of the policy.
        name: Arc<str>,
    },
    /// `address/IP`.
    Address(Ipv4Addr),
    /// `inbound/NAMESPACE/GROUP`.
    Inbound(Arc<str>, Arc<str>),
    /// `policy/NAMESPACE/NAME`: on the inbound side of a workload group.
    Policy(Arc<str>, Arc<str>),
    /// `gateway-policy/GATEWAY-NAMESPACE/GATEWAY/NAMESPACE/NAME`: on what comes in at a gateway. A gateway is
    /// also a workload, and what holds for its own ports need not hold for its listeners.
    GatewayPolicy {
        /// Namespace and name of the gateway.
        gateway: (Arc<str>, Arc<str>),
        /// Namespace of the policy.
        namespace: Arc<str>,
        /// Name of the policy.
        name: Arc<str>,
    },
    /// `gateway/NAMESPACE/NAME`.
    Gateway(Arc<str>, Arc<str>),
    /// `key-pair/NAMESPACE/NAME`: a certificate and its key, out of a Secret.
    KeyPair(Arc<str>, Arc<str>),
    /// `exports`.
    Exports,
    /// `cluster/NAME`.
    Cluster(Arc<str>),
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names => f.write_str("names"),
            Self::Settings => f.write_str("settings"),
            Self::Trust(domain) => write!(f, "trust/{domain}"),
            Self::Service(host) => write!(f, "service/{host}"),
            Self::Slice(host, index) => write!(f, "slice/{host}/{index}"),
            Self::Rule { parent, route: ObjectRef { kind, namespace, name }, index } => match &**kind {
                "HTTPRoute" => write!(f, "rule/{}/{namespace}/{name}/{index}", ParentName(parent)),
                _ => write!(f, "rule/{}/{kind}/{namespace}/{name}/{index}", ParentName(parent)),
            },
            Self::L4Rule { parent, route: ObjectRef { kind, namespace, name }, index } => {
                write!(f, "l4-rule/{}/{kind}/{namespace}/{name}/{index}", ParentName(parent))
            }
            Self::TrafficPolicy { host, kind, namespace, name } if **kind == *TRAFFIC_POLICY => {
                write!(f, "traffic-policy/{host}/{namespace}/{name}")
            }
            Self::TrafficPolicy { host, kind, namespace, name } => {
                write!(f, "traffic-policy/{host}/{namespace}/{name}/{kind}")
            }
            Self::Address(ip) => write!(f, "address/{ip}"),
            Self::Inbound(namespace, group) => write!(f, "inbound/{namespace}/{group}"),
            Self::Policy(namespace, name) => write!(f, "policy/{namespace}/{name}"),
            Self::GatewayPolicy { gateway: (ns, gateway), namespace, name } => {
                write!(f, "gateway-policy/{ns}/{gateway}/{namespace}/{name}")
            }
            Self::Gateway(namespace, name) => write!(f, "gateway/{namespace}/{name}"),
            Self::KeyPair(namespace, name) => write!(f, "key-pair/{namespace}/{name}"),
            Self::Exports => f.write_str("exports"),
            Self::Cluster(name) => write!(f, "cluster/{name}"),
        }
    }
}

/// A parent as part of the name of a rule: `s:HOST:PORT` or `g:NAMESPACE:NAME:LISTENER`.
struct ParentName<'a>(&'a Parent);

impl fmt::Display for ParentName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Parent::Service { host, port } => write!(f, "s:{host}:{port}"),
            Parent::Gateway { namespace, name, listener } => write!(f, "g:{namespace}:{name}:{listener}"),
        }
    }
}

impl ParentName<'_> {
    fn parse(text: &str) -> Option<Parent> {
        Some(match text.split(':').collect::<Vec<_>>().as_slice() {
            ["s", host, port] => Parent::Service { host: Hostname::parse(host)?, port: port.parse().ok()? },
            ["g", namespace, name, listener] => Parent::Gateway {
                namespace: (*namespace).into(),
                name: (*name).into(),
                listener: (*listener).into(),
            },
            _ => return None,
        })
    }
}

impl ResourceKey {
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let arc = |s: &str| Arc::<str>::from(s);
        Some(match parts.as_slice() {
            ["names"] => Self::Names,
            ["settings"] => Self::Settings,
            ["exports"] => Self::Exports,
            ["trust", domain] => Self::Trust(arc(domain)),
            ["service", host] => Self::Service(Hostname::parse(host)?),
            ["slice", host, index] => Self::Slice(Hostname::parse(host)?, index.parse().ok()?),
            ["traffic-policy", host, ns, name, rest @ ..] => {
                let kind = match rest {
                    [] => TRAFFIC_POLICY,
                    [kind] => kind,
                    _ => return None,
                };
                let (host, kind) = (Hostname::parse(host)?, arc(kind));
                Self::TrafficPolicy { host, kind, namespace: arc(ns), name: arc(name) }
            }
            ["address", ip] => Self::Address(ip.parse().ok()?),
            ["inbound", ns, group] => Self::Inbound(arc(ns), arc(group)),
            ["policy", ns, name] => Self::Policy(arc(ns), arc(name)),
            ["gateway-policy", gateway_ns, gateway, ns, name] => Self::GatewayPolicy {
                gateway: (arc(gateway_ns), arc(gateway)),
                namespace: arc(ns),
                name: arc(name),
            },
            ["gateway", ns, name] => Self::Gateway(arc(ns), arc(name)),
            ["key-pair", ns, name] => Self::KeyPair(arc(ns), arc(name)),
            ["cluster", name] => Self::Cluster(arc(name)),
            ["rule", parent, ns, name, index] => Self::Rule {
                parent: ParentName::parse(parent)?,
                route: ObjectRef::new("HTTPRoute", ns, name),
                index: index.parse().ok()?,
            },
            ["rule", parent, kind, ns, name, index] => Self::Rule {
                parent: ParentName::parse(parent)?,
                route: ObjectRef::new(kind, ns, name),
                index: index.parse().ok()?,
            },
            ["l4-rule", parent, kind, ns, name, index] => Self::L4Rule {
                parent: ParentName::parse(parent)?,
                route: ObjectRef::new(kind, ns, name),
                index: index.parse().ok()?,
            },
            _ => return None,
        })
    }

    /// The key of a rule.
    pub fn of_rule(rule: &RouteRule) -> Self {
        Self::Rule { parent: rule.parent.clone(), route: rule.origin.object.clone(), index: rule.index }
    }

    /// The key of a rule for connections.
    pub fn of_l4_rule(rule: &L4Rule) -> Self {
        Self::L4Rule { parent: rule.parent.clone(), route: rule.origin.object.clone(), index: rule.index }
    }

    /// Namespace and name of the policy that stands under this key, wherever it applies; `None`: no policy does.
    pub fn policy(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        match self {
            Self::Policy(namespace, name) | Self::GatewayPolicy { namespace, name, .. } => {
                Some((namespace, name))
            }
            _ => None,
        }
    }
}

/// The content of one resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// See [`Names`].
    Names(Names),
    /// See [`MeshSettings`].
    Settings(MeshSettings),
    /// See [`TrustBundle`].
    Trust(TrustBundle),
    /// See [`Service`].
    Service(Service),
    /// See [`EndpointSlice`].
    Slice(EndpointSlice),
    /// See [`RouteRule`].
    Rule(Arc<RouteRule>),
    /// See [`L4Rule`].
    L4Rule(Arc<L4Rule>),
    /// See [`AttachedPolicy`].
    TrafficPolicy(AttachedPolicy),
    /// The host that owns a mesh-only address.
    Address(Ipv4Addr, Hostname),
    /// See [`Inbound`].
    Inbound(Inbound),
    /// See [`Policy`].
    Policy(Policy),
    /// See [`Gateway`].
    Gateway(Gateway),
    /// See [`KeyPair`].
    KeyPair(KeyPair),
    /// See [`Exports`].
    Exports(Exports),
    /// See [`RemoteCluster`].
    Cluster(RemoteCluster),
}
