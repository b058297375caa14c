//! One `PeerAuthentication`: what it says, and of which groups. Which of several counts is said by `decide::mtls`; what
//! that comes to is the unit of each group in `group_mtls`.

use super::workload_group::{groups_selected, selects};
use super::{Topic, Unit, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::peer_authentication::{MutualTls, MutualTlsMode, PeerAuthenticationSpec};
use api::{Object, ROOT_NAMESPACE, Spec};
use decide::mtls::rank;
use model::mtls::{MtlsMode, PeerAuthentication, PeerAuthenticationScope};
use model::{Code, Finding, ObjectRef, Subscription};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a `PeerAuthentication` is compiled to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompiledPeerAuthentication {
    /// What it says.
    pub(crate) said: PeerAuthentication,
    /// The labels that it selects; empty: all of its scope.
    pub(crate) labels: BTreeMap<String, String>,
}

pub(crate) struct PeerAuthenticationUnit;

impl Unit for PeerAuthenticationUnit {
    type Key = Pair;
    type Output = CompiledPeerAuthentication;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::PeerAuthentication(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    /// `None` for a selector in the root namespace, which means nobody (Istio).
    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledPeerAuthentication> {
        let (object, spec) = own(key, read)?;
        let labels = spec.selector.as_ref().map(|selector| selector.match_labels.clone()).unwrap_or_default();
        let scope = match (*key.0 == *ROOT_NAMESPACE, labels.is_empty()) {
            (true, true) => PeerAuthenticationScope::Mesh,
            (true, false) => return None,
            (false, true) => PeerAuthenticationScope::Namespace,
            (false, false) => PeerAuthenticationScope::Workload,
        };
        let ports = spec.port_level_mtls.iter().flatten();
        let said = PeerAuthentication {
            scope,
            origin: object.at(spec.line),
            created_s: object.meta.created,
            mode: spec.mtls.as_ref().and_then(mode),
            ports: ports.filter_map(|(port, mtls)| Some((port.parse().ok()?, mode(mtls)))).collect(),
            is_unreadable: spec.is_unreadable,
        };
        Some(CompiledPeerAuthentication { said, labels })
    }

    fn topics((namespace, _): &Pair, compiled: &CompiledPeerAuthentication) -> Vec<Topic> {
        // Whoever has all labels has the first one.
        vec![concerning(namespace, compiled.labels.first_key_value())]
    }

    /// The units of the groups tell.
    fn touches(
        _key: &Pair,
        _old: Option<&CompiledPeerAuthentication>,
        _new: Option<&CompiledPeerAuthentication>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        Vec::new()
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let (Some((object, spec)), Some(compiled)) = (own(key, read), read.peer_authentication(key)) else {
            return Vec::new();
        };
        if spec.is_unreadable {
            // That is told already, and nothing outvotes it.
            return Vec::new();
        }
        let at = object.at(spec.line);
        let groups = match compiled.said.scope {
            PeerAuthenticationScope::Mesh => Vec::new(),
            PeerAuthenticationScope::Namespace => groups_of(&key.0, read),
            PeerAuthenticationScope::Workload => groups_selected(&key.0, &compiled.labels, read),
        };
        if groups.is_empty() && compiled.said.scope != PeerAuthenticationScope::Mesh {
            let (cause, fix) = concerns_nobody(key);
            return vec![Finding::new(Code::NoWorkloads, &at, cause, fix)];
        }
        outvoted(key, compiled, &groups, read)
            .map(|(cause, fix)| Finding::new(Code::Outvoted, &at, cause, fix))
            .into_iter()
            .collect()
    }
}

/// Mostly a slip in a label, or Istio's root namespace instead of ours.
fn concerns_nobody((namespace, _): &Pair) -> (String, String) {
    const ISTIO_ROOT: &str = "istio-system";
    if **namespace == *ISTIO_ROOT {
        let cause = format!("{ISTIO_ROOT} is a namespace like others here, so the object concerns nobody");
        return (cause, format!("for the whole mesh, put it into {ROOT_NAMESPACE}"));
    }
    let fix = "let `selector` match `spec.metadata.labels` of a WorkloadGroup of the namespace, or remove the object";
    ("the object concerns no workload".to_owned(), fix.to_owned())
}

/// Where another one of the same scope counts instead.
fn outvoted(
    key: &Pair,
    compiled: &CompiledPeerAuthentication,
    groups: &[Pair],
    read: &WorldReader<'_>,
) -> Option<(String, String)> {
    let said = &compiled.said;
    let beats = |other: &&CompiledPeerAuthentication| {
        other.said.scope == said.scope && rank(&other.said) < rank(said)
    };
    let (on, other) = match said.scope {
        PeerAuthenticationScope::Mesh | PeerAuthenticationScope::Namespace => {
            let rivals = read.members(concerning(&key.0, None)).into_iter();
            let mut rivals = rivals.filter_map(|rival| find(rival, read));
            (String::new(), rivals.find(beats)?)
        }
        PeerAuthenticationScope::Workload => groups.iter().find_map(|group| {
            let labels = &read.workload_group(group)?.labels;
            let other = of_group(&key.0, labels, read).into_iter().find(beats)?;
            Some((format!(" on WorkloadGroup/{}.{}", group.1, group.0), other))
        })?,
    };
    let cause = format!(
        "it has no effect{on}: {} is for the same workloads, and is older or first by name",
        other.said.origin.object
    );
    Some((cause, "put all modes into one of the two, or let them select different workloads".to_owned()))
}

fn groups_of(namespace: &Arc<str>, read: &WorldReader<'_>) -> Vec<Pair> {
    let names = read.names("WorkloadGroup", Some(namespace)).into_iter();
    names.map(|name| (namespace.clone(), name.clone())).collect()
}

fn find<'w>(member: &UnitKey, read: &WorldReader<'w>) -> Option<&'w CompiledPeerAuthentication> {
    match member {
        UnitKey::PeerAuthentication(pair) => read.peer_authentication(pair),
        _ => None,
    }
}

fn own<'w>(
    (namespace, name): &Pair,
    read: &WorldReader<'w>,
) -> Option<(&'w Object, &'w PeerAuthenticationSpec)> {
    let object = read.own_object(&ObjectRef::new("PeerAuthentication", namespace, name))?;
    match &object.spec {
        Spec::PeerAuthentication(spec) => Some((object, spec)),
        _ => None,
    }
}

fn mode(mtls: &MutualTls) -> Option<MtlsMode> {
    match mtls.mode? {
        MutualTlsMode::Unset => None,
        MutualTlsMode::Disable => Some(MtlsMode::Disable),
        MutualTlsMode::Permissive => Some(MtlsMode::Permissive),
        MutualTlsMode::Strict => Some(MtlsMode::Strict),
    }
}

/// What a namespace says of all its groups, or of those with a label.
fn concerning(namespace: &Arc<str>, label: Option<(&String, &String)>) -> Topic {
    let label = label.map(|(key, value)| (key.as_str().into(), value.as_str().into()));
    Topic::PeerAuthentications(namespace.clone(), label)
}

/// All that concern a group with these labels.
pub(super) fn of_group<'w>(
    namespace: &Arc<str>,
    labels: &BTreeMap<String, String>,
    read: &WorldReader<'w>,
) -> Vec<&'w CompiledPeerAuthentication> {
    let root = (**namespace != *ROOT_NAMESPACE).then(|| concerning(&ROOT_NAMESPACE.into(), None));
    let labelled = labels.iter().map(|label| concerning(namespace, Some(label)));
    let topics = root.into_iter().chain([concerning(namespace, None)]).chain(labelled);
    let members = topics.flat_map(|topic| read.members(topic)).filter_map(|member| find(member, read));
    members.filter(|one| selects(&one.labels, labels)).collect()
}
