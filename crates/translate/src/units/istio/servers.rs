//! The listeners that Istio `Gateway`s ask of the proxies of one group: of all whose selector finds the group. One that
//! finds none is served under its own name, by a proxy that is a gateway and nothing else.

use super::gateway::{CompiledIstioGateway, ServerScope};
use super::name::HostPattern;
use crate::units::workload_group::selects;
use crate::units::{Topic, Unit, UnitKind, WorldReader};
use crate::world::inputs::Pair;
use api::{Object, Spec};
use model::Subscription;
use model::listener::GatewayListener;
use std::collections::BTreeMap;

/// The listeners of one group, or of a gateway of this name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IstioServers {
    pub(super) listeners: Vec<SharedListener>,
}

/// One listener; several gateways may ask for the same.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SharedListener {
    pub(super) listener: GatewayListener,
    pub(super) host: HostPattern,
    /// Requests are sent to HTTPS.
    pub(super) redirects: bool,
    /// Who asks for it, and for whose `VirtualService`s.
    pub(super) gateways: Vec<(Pair, ServerScope)>,
}

impl IstioServers {
    pub(in crate::units) fn listeners(&self) -> impl Iterator<Item = &GatewayListener> {
        self.listeners.iter().map(|shared| &shared.listener)
    }

    fn add(&mut self, gateway: &Pair, compiled: &CompiledIstioGateway) {
        for server in &compiled.servers {
            let same = |shared: &&mut SharedListener| {
                let (a, b) = (&shared.listener, &server.listener);
                (a.port, a.protocol, &a.host, a.address) == (b.port, b.protocol, &b.host, b.address)
            };
            let asks = (gateway.clone(), server.from.clone());
            match self.listeners.iter_mut().find(same) {
                Some(shared) => {
                    shared.redirects |= server.redirects;
                    shared.gateways.push(asks);
                }
                None => self.listeners.push(SharedListener {
                    listener: server.listener.clone(),
                    host: server.host.clone(),
                    redirects: server.redirects,
                    gateways: vec![asks],
                }),
            }
        }
    }
}

pub(crate) struct IstioServersUnit;

impl Unit for IstioServersUnit {
    type Key = Pair;
    type Output = IstioServers;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::IstioGateway(_) | Spec::WorkloadGroup(_) => {
                vec![(object.meta.namespace.clone(), object.meta.name.clone())]
            }
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<IstioServers> {
        let gateways = &read.every(&[UnitKind::IstioGateway]).outputs().istio_gateway;
        if gateways.is_empty() {
            return None;
        }
        let labels = read.workload_group(key).map(|group| &group.labels);
        let mut servers = IstioServers { listeners: Vec::new() };
        for (gateway, compiled) in gateways {
            let is_selected = labels.is_some_and(|labels| finds(compiled, labels));
            if is_selected || (gateway == key && finds_nobody(compiled, read)) {
                servers.add(gateway, compiled);
            }
        }
        (!servers.listeners.is_empty()).then_some(servers)
    }

    fn topics(_key: &Pair, servers: &IstioServers) -> Vec<Topic> {
        let gateways = servers.listeners.iter().flat_map(|shared| &shared.gateways);
        let mut topics: Vec<Topic> = gateways.map(|(gateway, _)| Topic::ServersOf(gateway.clone())).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    fn touches(
        (namespace, name): &Pair,
        _old: Option<&IstioServers>,
        _new: Option<&IstioServers>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        vec![Subscription::Gateway { namespace: namespace.clone(), name: name.clone() }]
    }
}

/// An empty selector finds nobody here: not every workload is a gateway.
fn finds(gateway: &CompiledIstioGateway, labels: &BTreeMap<String, String>) -> bool {
    !gateway.selector.is_empty() && selects(&gateway.selector, labels)
}

fn finds_nobody(gateway: &CompiledIstioGateway, read: &WorldReader<'_>) -> bool {
    let groups = &read.every(&[UnitKind::WorkloadGroup]).outputs().workload_group;
    !groups.values().any(|group| finds(gateway, &group.labels))
}
