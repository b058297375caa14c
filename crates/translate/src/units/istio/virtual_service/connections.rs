//! The rules of a `VirtualService` for connections: its routes by server name, then those for the rest.

use super::destination::{self, NamedBy};
use super::place::{Place, PlaceProtocol};
use crate::units::WorldReader;
use crate::units::istio::name::HostPattern;
use crate::units::missing::RouteFindings;
use api::Object;
use api::kinds::virtual_service::{L4MatchSpec, TlsMatchSpec, VirtualServiceSpec, WeightedDestinationSpec};
use model::authz::Cidr;
use model::l4_route::{L4Match, L4Rule};
use model::route::RouteBackend;
use model::{Code, Finding};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn rules(
    object: &Object,
    spec: &VirtualServiceSpec,
    places: &[Place],
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<Arc<L4Rule>> {
    let mut rules = Vec::new();
    for place in places.iter().filter(|place| place.protocol != PlaceProtocol::Http) {
        let routes = routes(object, spec, place, findings);
        let first = place.turn.saturating_mul(u32::try_from(routes.len()).unwrap_or(u32::MAX));
        for (route, index) in routes.into_iter().zip(first..) {
            let Some(matches) = route.matches else { continue };
            rules.push(Arc::new(L4Rule {
                parent: place.parent.clone(),
                origin: object.at(route.line),
                index,
                created_s: object.meta.created,
                consumer: place.consumer.clone(),
                matches,
                backends: backends(route.destinations, object, place, read, findings),
            }));
        }
    }
    rules
}

/// A route at one place.
struct L4Route<'a> {
    line: u32,
    /// `None`: none of its matches is for the place.
    matches: Option<Vec<L4Match>>,
    destinations: &'a [WeightedDestinationSpec],
}

fn routes<'a>(
    object: &Object,
    spec: &'a VirtualServiceSpec,
    place: &Place,
    findings: &mut RouteFindings,
) -> Vec<L4Route<'a>> {
    let namespace = &object.meta.namespace;
    let mut routes = Vec::new();
    for route in spec.tls.iter().filter(|_| place.protocol != PlaceProtocol::Decrypted) {
        let matches = route.matches.iter().map(|one| {
            let caller = Caller::of_tls(one);
            place
                .is_named(&one.gateways, namespace)
                .then(|| caller.admit(object, one.line, findings))
                .filter(|admitted| *admitted && is_port(one.port, place))
                .map(|_| tls_match(one, namespace))
        });
        let matches: Vec<L4Match> = matches.flatten().collect();
        let matches = (!matches.is_empty()).then_some(matches);
        routes.push(L4Route { line: route.line, matches, destinations: &route.route });
    }
    for route in spec.tcp.iter().filter(|_| place.protocol != PlaceProtocol::Tls) {
        let matches = route.matches.iter().map(|one| {
            let caller = Caller::of_tcp(one);
            place
                .is_named(&one.gateways, namespace)
                .then(|| caller.admit(object, one.line, findings))
                .filter(|admitted| *admitted && is_port(one.port, place))
                .map(|_| tcp_match(one))
        });
        let matches: Vec<L4Match> = matches.flatten().collect();
        let takes_all = route.matches.is_empty() && place.is_named(&[], namespace);
        let matches = (!matches.is_empty() || takes_all).then_some(matches);
        routes.push(L4Route { line: route.line, matches, destinations: &route.route });
    }
    routes
}

fn is_port(port: Option<u16>, place: &Place) -> bool {
    port.is_none_or(|port| port == place.port)
}

/// What a match asks of who calls.
struct Caller<'a> {
    namespace: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
}

impl<'a> Caller<'a> {
    fn of_tls(one: &'a TlsMatchSpec) -> Self {
        Self { namespace: one.source_namespace.as_deref(), labels: &one.source_labels }
    }

    fn of_tcp(one: &'a L4MatchSpec) -> Self {
        Self { namespace: one.source_namespace.as_deref(), labels: &one.source_labels }
    }

    /// Who calls is not asked of connections yet: a match for some callers is left out, and told.
    fn admit(&self, object: &Object, line: u32, findings: &mut RouteFindings) -> bool {
        let asks = !self.labels.is_empty() || self.namespace.is_some_and(|namespace| !namespace.is_empty());
        if asks {
            let cause = "a match of connections by `sourceLabels` or `sourceNamespace` is not supported yet, so it \
                         matches none";
            let fix = "use `sourceSubnet`, or export the object to single namespaces by `exportTo`";
            findings.push((Finding::new(Code::Ignored, &object.at(line), cause, fix), None));
        }
        !asks
    }
}

fn blocks(texts: &[String]) -> Vec<Cidr> {
    texts.iter().filter_map(|text| Cidr::parse(text)).collect()
}

fn tls_match(one: &TlsMatchSpec, namespace: &Arc<str>) -> L4Match {
    let names = one.sni_hosts.iter().filter_map(|name| HostPattern::new(name, namespace));
    L4Match {
        // One that means all names leaves nothing to compare.
        server_names: names.map(|name| name.host_match()).collect::<Option<Vec<_>>>().unwrap_or_default(),
        destinations: blocks(&one.destination_subnets),
        sources: Vec::new(),
        port: 0,
    }
}

fn tcp_match(one: &L4MatchSpec) -> L4Match {
    L4Match {
        server_names: Vec::new(),
        destinations: blocks(&one.destination_subnets),
        sources: one.source_subnet.iter().filter_map(|text| Cidr::parse(text)).collect(),
        port: 0,
    }
}

fn backends(
    destinations: &[WeightedDestinationSpec],
    object: &Object,
    place: &Place,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<RouteBackend> {
    let is_alone = destinations.len() == 1;
    let by = NamedBy { object, delegated_at: None };
    let mut backends = Vec::new();
    for one in destinations {
        let found = destination::find(&one.destination, by, place, read, findings);
        let (host, port) = found.map_or((None, 0), |(host, port)| (Some(host), port));
        backends.push(RouteBackend::new(host, port, if is_alone { 1 } else { one.weight.unwrap_or(0) }));
    }
    backends
}
