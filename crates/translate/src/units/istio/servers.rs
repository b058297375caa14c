//! The listeners that Istio `Gateway`s ask of the proxies of one group: of all whose selector finds the group. One that
//! finds none is served under its own name, by a proxy that is a gateway and nothing else.

use super::gateway::{CompiledIstioGateway, KIND, ServerListener, ServerScope};
use super::name::HostPattern;
use super::server_tls::{self, ServerTls, Told};
use crate::units::workload_group::selects;
use crate::units::{Topic, Unit, UnitKind, WorldReader};
use crate::world::inputs::Pair;
use api::fields::server_tls::ServerTlsSpec;
use api::{Object, Spec};
use model::listener::GatewayListener;
use model::listener_tls::{KeyPair, ListenerTls};
use model::{Code, Finding, ObjectRef, Subscription};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The listeners of one group, or of a gateway of this name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IstioServers {
    pub(super) listeners: Vec<SharedListener>,
    /// Of the Secrets that they name, each once.
    pub(super) key_pairs: Vec<KeyPair>,
    /// What is wrong with what is asked for: of which gateway, at which line.
    told: Vec<(Pair, u32, Told)>,
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

    pub(in crate::units) fn key_pairs(&self) -> &[KeyPair] {
        &self.key_pairs
    }

    fn add(
        &mut self,
        gateway: &Pair,
        compiled: &CompiledIstioGateway,
        namespace: &Arc<str>,
        read: &WorldReader<'_>,
    ) {
        // The servers of one document often say the same of several hosts.
        let mut last: Option<(&Arc<ServerTlsSpec>, Arc<ListenerTls>)> = None;
        for server in &compiled.servers {
            let tls = server.tls.as_ref().map(|spec| match &last {
                Some((known, tls)) if Arc::ptr_eq(known, spec) => Arc::clone(tls),
                _ => {
                    let tls = self.resolve(gateway, server.line, spec, namespace, read);
                    last = Some((spec, Arc::clone(&tls)));
                    tls
                }
            });
            self.open(gateway, server, tls);
        }
    }

    fn resolve(
        &mut self,
        gateway: &Pair,
        line: u32,
        spec: &ServerTlsSpec,
        namespace: &Arc<str>,
        read: &WorldReader<'_>,
    ) -> Arc<ListenerTls> {
        let ServerTls { tls, key_pairs, told } = server_tls::resolve(spec, namespace, read);
        for pair in key_pairs {
            if !self.key_pairs.contains(&pair) {
                self.key_pairs.push(pair);
            }
        }
        self.told.extend(told.into_iter().map(|told| (gateway.clone(), line, told)));
        Arc::new(tls)
    }

    /// Adds what a server asks for, unless that cannot stand beside what is asked for already: the first counts.
    fn open(&mut self, gateway: &Pair, server: &ServerListener, tls: Option<Arc<ListenerTls>>) {
        let listener = GatewayListener { tls, ..server.listener.clone() };
        let is_there = |shared: &&mut SharedListener| shared.listener.place() == listener.place();
        let is_same = |shared: &SharedListener| {
            (shared.listener.protocol, &shared.listener.host) == (listener.protocol, &listener.host)
        };
        let asks = (gateway.clone(), server.from.clone());
        let mut beside = self.listeners.iter_mut().filter(is_there).peekable();
        let other =
            beside.peek().is_some_and(|shared| shared.listener.tls.is_some() != listener.tls.is_some());
        match beside.find(|shared| is_same(shared)) {
            Some(shared) if shared.listener.tls == listener.tls => {
                shared.redirects |= server.redirects;
                shared.gateways.push(asks);
            }
            None if !other => self.listeners.push(SharedListener {
                listener,
                host: server.host.clone(),
                redirects: server.redirects,
                gateways: vec![asks],
            }),
            _ => {
                let cause = format!(
                    "the server on port {} is not opened for {}: another one there says something else of TLS",
                    listener.port, server.host
                );
                let fix = "let both say the same of TLS, or use another port";
                let told = (Code::ListenerConflict, cause, fix.to_owned());
                self.told.push((gateway.clone(), server.line, told));
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
        let mut servers = IstioServers { listeners: Vec::new(), key_pairs: Vec::new(), told: Vec::new() };
        for (gateway, compiled) in gateways {
            let is_selected = labels.is_some_and(|labels| finds(compiled, labels));
            if is_selected || (gateway == key && finds_nobody(compiled, read)) {
                servers.add(gateway, compiled, &key.0, read);
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

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let told = read.istio_servers(key).into_iter().flat_map(|servers| &servers.told);
        let found = told.filter_map(|((namespace, name), line, (code, cause, fix))| {
            let object = read.object(&ObjectRef::new(KIND, namespace, name))?;
            Some(Finding::new(*code, &object.at(*line), cause.clone(), fix.clone()))
        });
        found.collect()
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
