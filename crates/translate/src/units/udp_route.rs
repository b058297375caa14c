//! One `UDPRoute`: a rule resource for each of its rules under each of its parents.

use super::l4_route::{CompiledL4Route, L4RouteParts};
use super::parent::RouteType;
use super::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::udp_route::UdpRouteSpec;
use api::{Object, Spec};
use model::{Finding, ObjectRef, Subscription};

pub(crate) struct UdpRouteUnit;

impl Unit for UdpRouteUnit {
    type Key = Pair;
    type Output = CompiledL4Route;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::UdpRoute(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledL4Route> {
        let (object, spec) = own(key, read)?;
        let parts = L4RouteParts {
            object,
            kind: RouteType::Udp,
            parent_refs: &spec.parent_refs,
            hostnames: &[],
            rules: &spec.rules,
            line: spec.line,
        };
        Some(CompiledL4Route::new(&parts, read))
    }

    fn topics(_key: &Pair, route: &CompiledL4Route) -> Vec<Topic> {
        route.topics()
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledL4Route>,
        new: Option<&CompiledL4Route>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        CompiledL4Route::touches(old, new)
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        read.udp_route(key).map_or_else(Vec::new, |route| route.findings(read))
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w UdpRouteSpec)> {
    let object = read.own_object(&ObjectRef::new("UDPRoute", namespace, name))?;
    match &object.spec {
        Spec::UdpRoute(spec) => Some((object, spec)),
        _ => None,
    }
}
