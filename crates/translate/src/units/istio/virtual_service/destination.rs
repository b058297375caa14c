//! Where a destination of a `VirtualService` leads: a host, or a subset of one, and a port.

use super::place::Place;
use crate::units::WorldReader;
use crate::units::host::find_host;
use crate::units::istio::claims::destination_subset;
use crate::units::istio::name::resolve;
use crate::units::missing::RouteFindings;
use api::Object;
use api::kinds::virtual_service::DestinationSpec;
use model::{Code, Finding, Hostname, Origin};

/// Who names a destination.
#[derive(Clone, Copy)]
pub(super) struct NamedBy<'a> {
    pub(super) object: &'a Object,
    /// Where another object delegates to it, which is told then.
    pub(super) delegated_at: Option<&'a Origin>,
}

impl NamedBy<'_> {
    fn finding(&self, line: u32, code: Code, cause: String, fix: String) -> Finding {
        match self.delegated_at {
            None => Finding::new(code, &self.object.at(line), cause, fix),
            Some(origin) => Finding::new(code, origin, format!("{}: {cause}", self.object.object), fix),
        }
    }
}

/// Host and port of a destination that an object names. A host or subset that is not known is told, and requests to it
/// get a 503, as in Istio; `None`: it cannot be a host at all.
pub(super) fn find(
    destination: &DestinationSpec,
    by: NamedBy<'_>,
    place: &Place,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Option<(Hostname, u16)> {
    let named = destination.port.map(|port| port.number);
    let mut tell = |code, cause: String, fix: String| {
        findings.push((by.finding(destination.line, code, cause, fix), None));
    };
    let Some(host) = resolve(&destination.host, &by.object.meta.namespace) else {
        let cause = format!("destination `{}` is no host of a service", destination.host);
        tell(Code::ReferenceNotFound, cause, "name a service".to_owned());
        return None;
    };
    let Some(entry) = find_host(&host, read) else {
        let cause = format!("destination {host} is no service that is known here: requests to it get a 503");
        let fix = "create the Service, or write its whole name, NAME.NAMESPACE.svc.cluster.local";
        tell(Code::ReferenceNotFound, cause, fix.to_owned());
        return Some((host, named.unwrap_or(place.port)));
    };
    let ports = &entry.service.ports;
    let port = match (named, ports.as_slice()) {
        (Some(port), _) => port,
        (None, [only]) => only.port,
        (None, _) => place.port,
    };
    if !ports.iter().any(|known| known.port == port) {
        let ports: Vec<String> = ports.iter().map(|known| known.port.to_string()).collect();
        let cause = format!("destination {host} has no port {port}");
        tell(Code::PortNotFound, cause, format!("write `port.number`; its ports: {}", ports.join(", ")));
    }
    let Some(subset) = destination_subset(destination, &by.object.meta.namespace) else {
        return Some((host, port));
    };
    if find_host(&subset, read).is_none() {
        let name = destination.subset.as_deref().unwrap_or_default();
        let cause = format!(
            "no DestinationRule that counts for {host} has a subset `{name}`: requests to it get a 503"
        );
        let fix =
            format!("write a DestinationRule with that subset into namespace {}", entry.service.namespace);
        tell(Code::ReferenceNotFound, cause, fix);
    }
    Some((subset, port))
}
