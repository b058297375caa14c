//! The kinds that Leno reads: one table. A new kind is its own file in `kinds/` and one row here.
//!
//! The file says how the kind is called, what its `spec` may hold and what is wrong with it ([`KindSpec`]). The
//! table makes of it [`Spec`], [`ALL`] and the reading; paths, names and help texts of others come from [`ALL`].

pub mod authorization_policy;
pub mod backend;
pub mod backend_tls_policy;
pub mod cluster;
pub mod destination_rule;
pub mod config_map;
pub mod gateway;
pub mod global_service;
pub mod grpc_route;
pub mod http_route;
pub mod istio_gateway;
pub mod listener_set;
pub mod mesh_settings;
pub mod namespace;
pub mod peer_authentication;
pub mod proxy_config;
pub mod secret;
pub mod reference_grant;
pub mod service;
pub mod service_entry;
pub mod sidecar;
pub mod tcp_route;
pub mod tls_route;
pub mod traffic_policy;
pub mod udp_route;
pub mod virtual_service;
pub mod workload_entry;
pub mod workload_group;

use crate::decode::UnsupportedField;
use crate::document::{self, FieldAdvice};
use crate::ignored::IgnoredField;
use crate::meta::{self, Meta, NameSyntax, RawMeta};
use crate::node::Node;
use crate::validation::ValidationReport;
use model::id::written_kind;
use serde::de::DeserializeOwned;

/// Makes of one row for each kind the content by kind, the list of all, and how a document of each is read.
macro_rules! kinds {
    ($($kind:ident($spec:ty),)*) => {
        /// The content of an object, by kind. Boxed, because the largest kind is three times as large as the one
        /// that there is most of.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Spec {
            $(#[doc = concat!("Kind `", stringify!($kind), "`.")] $kind(Box<$spec>),)*
        }

        /// All kinds, in the order in which they are listed.
        pub const ALL: &[ObjectKind] = &[$(<$spec>::KIND),*];

        /// Reads and checks a document of this kind. `None`, or a report that refuses it: it cannot be used.
        pub(crate) fn read(
            kind: &ObjectKind,
            document: &Node,
            report: &mut ValidationReport<'_>,
        ) -> Option<ObjectContent> {
            $(if kind.kind == <$spec>::KIND.kind {
                return read_as(document, report, |spec: $spec| Spec::$kind(Box::new(spec)));
            })*
            None
        }

        /// What stands for an object of this kind that is refused ([`KindSpec::fail_closed`]).
        pub(crate) fn fail_closed(kind: &ObjectKind, refused: RefusedDocument<'_>) -> Option<Spec> {
            $(if kind.kind == <$spec>::KIND.kind {
                let spec = match refused {
                    RefusedDocument::Node(node) => <$spec>::fail_closed(Some(node)),
                    RefusedDocument::Text(text) => <$spec>::fail_closed_by_words(text),
                };
                return spec.map(|spec| Spec::$kind(Box::new(spec)));
            })*
            None
        }
    };
}

kinds! {
    Namespace(namespace::NamespaceSpec),
    Service(service::ServiceSpec),
    Gateway(gateway::GatewaySpec),
    HttpRoute(http_route::HttpRouteSpec),
    GrpcRoute(grpc_route::GrpcRouteSpec),
    TcpRoute(tcp_route::TcpRouteSpec),
    UdpRoute(udp_route::UdpRouteSpec),
    TlsRoute(tls_route::TlsRouteSpec),
    ReferenceGrant(reference_grant::ReferenceGrantSpec),
    ListenerSet(listener_set::ListenerSetSpec),
    WorkloadGroup(workload_group::WorkloadGroupSpec),
    AuthorizationPolicy(authorization_policy::AuthorizationPolicySpec),
    PeerAuthentication(peer_authentication::PeerAuthenticationSpec),
    MeshSettings(mesh_settings::MeshSettingsSpec),
    Cluster(cluster::ClusterSpec),
    GlobalService(global_service::GlobalServiceSpec),
    Backend(backend::BackendSpec),
    TrafficPolicy(traffic_policy::TrafficPolicySpec),
    VirtualService(virtual_service::VirtualServiceSpec),
    DestinationRule(destination_rule::DestinationRuleSpec),
    IstioGateway(istio_gateway::IstioGatewaySpec),
    Sidecar(sidecar::SidecarSpec),
    ProxyConfig(proxy_config::ProxyConfigSpec),
    BackendTlsPolicy(backend_tls_policy::BackendTlsPolicySpec),
    ConfigMap(config_map::ConfigMapSpec),
    Secret(secret::SecretSpec),
    ServiceEntry(service_entry::ServiceEntrySpec),
    WorkloadEntry(workload_entry::WorkloadEntrySpec),
}

/// What to use instead of a known kind that is not read: `(group, kind, advice)`.
pub(crate) const REPLACED: &[(&str, &str, &str)] = &[
    (
        ISTIO_NETWORKING_GROUP,
        "EnvoyFilter",
        "use HTTPRoute filters; a route, header or timeout needs no EnvoyFilter here",
    ),
    (
        ISTIO_SECURITY_GROUP,
        "RequestAuthentication",
        "nothing replaces it: tokens are not validated yet, so requests without one are not refused; allow callers \
         by `principals` in an AuthorizationPolicy",
    ),
    (
        "telemetry.istio.io",
        "Telemetry",
        "leave it out: metrics are always there, and an access log is the option --access-log of leno proxy",
    ),
    (
        "extensions.istio.io",
        "WasmPlugin",
        "nothing replaces it: extensions are not read yet, so what they check is not checked",
    ),
    (GATEWAY_GROUP, "GatewayClass", "leave it out: the classes leno and leno-east-west are built in"),
    ("networking.k8s.io", "Ingress", "use Gateway and HTTPRoute of gateway.networking.k8s.io/v1"),
];

/// How a kind is called, and where its objects live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectKind {
    /// For example `HTTPRoute`; no two kinds have the same. Of two that documents call alike, the Gateway API's has
    /// the bare name, and the other one its group behind it ([`model::id::written_kind`]).
    pub kind: &'static str,
    /// For example `httproutes`, as in paths.
    pub plural: &'static str,
    /// For example `httproute`.
    pub singular: &'static str,
    /// Short names for the command line.
    pub short: &'static [&'static str],
    /// API group; empty for core.
    pub group: &'static str,
    /// Accepted versions, the preferred one first.
    pub versions: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// What it is for, in one line.
    pub doc: &'static str,
    /// Title and place of its own columns in a table (Kubernetes: printer columns), for example `HOSTS` and
    /// `spec.hosts[]`; `[]` goes through a list.
    pub columns: &'static [(&'static str, &'static str)],
}

/// What the file of a kind says of it.
pub(crate) trait KindSpec: DeserializeOwned {
    /// How it is called.
    const KIND: ObjectKind;
    /// What `metadata.name` must be.
    const NAME_SYNTAX: NameSyntax = NameSyntax::Subdomain;
    /// What is known of its fields that are accepted and ignored.
    const IGNORED: &'static [IgnoredField] = &[];
    /// What is known of its fields that are not supported yet.
    const UNSUPPORTED: &'static [UnsupportedField] = &[];

    /// What an object without `spec` says; `None`: it must have one.
    fn absent() -> Option<Self> {
        None
    }

    /// Reads a document. Its content is `spec`, but of kinds that have none.
    fn read(document: &Node, report: &mut ValidationReport<'_>) -> Option<KindFields<Self>> {
        let advice = FieldAdvice { ignored: Self::IGNORED, unsupported: Self::UNSUPPORTED };
        Some(match Self::absent() {
            Some(absent) => {
                let fields = document::read::<Option<Self>>(document, advice, report)?;
                let (api_version, metadata) = (fields.api_version, fields.metadata);
                KindFields { api_version, metadata, spec: fields.spec.unwrap_or(absent) }
            }
            None => {
                let fields = document::read::<Self>(document, advice, report)?;
                KindFields { api_version: fields.api_version, metadata: fields.metadata, spec: fields.spec }
            }
        })
    }

    /// Tells what is wrong, and what has no effect.
    fn check(&self, meta: &Meta, report: &mut ValidationReport<'_>);

    /// What stands for an object that is refused and was never good; `None`: nothing, because its absence lets
    /// nobody in. `document` is absent where the text is no YAML.
    fn fail_closed(_document: Option<&Node>) -> Option<Self> {
        None
    }

    /// The same for text that is no YAML, by the words in it.
    fn fail_closed_by_words(_text: &str) -> Option<Self> {
        Self::fail_closed(None)
    }
}

/// What is known of a document that is refused.
#[derive(Clone, Copy)]
pub(crate) enum RefusedDocument<'a> {
    /// It is YAML.
    Node(&'a Node),
    /// It is none.
    Text(&'a str),
}

/// A document's fields.
pub(crate) struct KindFields<T> {
    pub(crate) api_version: String,
    pub(crate) metadata: RawMeta,
    pub(crate) spec: T,
}

/// An object's content, read and checked.
pub(crate) struct ObjectContent {
    pub(crate) api_version: String,
    pub(crate) meta: Meta,
    pub(crate) spec: Spec,
}

fn read_as<T: KindSpec>(
    document: &Node,
    report: &mut ValidationReport<'_>,
    kind: fn(T) -> Spec,
) -> Option<ObjectContent> {
    let KindFields { api_version, metadata, spec } = T::read(document, report)?;
    let meta = meta::check(metadata, T::NAME_SYNTAX, T::KIND.namespaced, report);
    spec.check(&meta, report);
    Some(ObjectContent { api_version, meta, spec: kind(spec) })
}

/// The text that is kept of a document instead of its own; `None`: its own, because nothing in it is secret.
pub(crate) fn text_kept(kind: &ObjectKind, document: &Node) -> Option<String> {
    (*kind == <secret::SecretSpec as KindSpec>::KIND)
        .then(|| secret::redacted(document).to_json().to_string())
}

impl ObjectKind {
    /// As in `kind` of a document: without a group behind it.
    pub fn written(&self) -> &'static str {
        written_kind(self.kind)
    }

    /// `v1` or `GROUP/VERSION`, with the preferred version.
    pub fn api_version(&self) -> String {
        let version = self.versions.first().copied().unwrap_or("v1");
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }
}

/// Splits `GROUP/VERSION`; the core group is empty.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The kind with this name in an [`model::ObjectRef`], for example `HTTPRoute`.
pub fn by_kind(name: &str) -> Option<&'static ObjectKind> {
    ALL.iter().find(|k| k.kind == name)
}

/// The kind of a document, for example (`networking.istio.io`, `Gateway`).
pub fn by_written(group: &str, written: &str) -> Option<&'static ObjectKind> {
    ALL.iter().find(|k| k.group == group && k.written() == written)
}

/// The kind at this path, for example (`gateway.networking.k8s.io`, `httproutes`).
pub fn by_plural(group: &str, plural: &str) -> Option<&'static ObjectKind> {
    ALL.iter().find(|k| k.group == group && k.plural == plural)
}

/// The kind that a person means: kind, plural, singular or short name, in any case, with its group behind it where
/// there is a dot. Without a group the first in the table is meant, as `gateways` means those of the Gateway API.
pub fn by_any(text: &str) -> Option<&'static ObjectKind> {
    let (name, group) = text.split_once('.').map_or((text, None), |(name, group)| (name, Some(group)));
    ALL.iter().filter(|k| group.is_none_or(|group| k.group == group)).find(|k| {
        [k.written(), k.plural, k.singular]
            .iter()
            .chain(k.short)
            .any(|known| known.eq_ignore_ascii_case(name))
    })
}

/// Gateway API's group.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// Istio's networking group.
pub const ISTIO_NETWORKING_GROUP: &str = "networking.istio.io";
/// Istio's security group.
pub const ISTIO_SECURITY_GROUP: &str = "security.istio.io";
/// Our own group.
pub const LENO_GROUP: &str = "leno.dev";

#[cfg(test)]
pub(crate) mod tests;
