//! Rules for `Service`.

use super::Report;
use crate::core::{ServicePort, ServiceSpec, ServiceType, TargetPort, Transport};
use model::Code;
use std::collections::HashSet;

pub(super) fn service(spec: &ServiceSpec, report: &mut Report<'_>) {
    if spec.service_type == Some(ServiceType::ExternalName) {
        let fix = "describe the destination as a Backend (leno.dev/v1alpha1) with its addresses instead";
        report.later("spec.type", "type ExternalName", fix);
        return;
    }
    super::labels("spec.selector", &spec.selector, report);
    match spec.service_type {
        Some(ServiceType::NodePort | ServiceType::LoadBalancer) => {
            report.ignored("spec.type", "write `ClusterIP`, and a Gateway for callers from outside");
        }
        Some(ServiceType::ClusterIP | ServiceType::ExternalName) | None => {}
    }
    if spec.ports.is_empty() {
        report.refuse(Code::MissingField, "spec.ports", "is missing or empty", "add at least one port");
    }
    ports("spec.ports", &spec.ports, report);
}

/// Also for the ports of a `GlobalService`.
pub(super) fn ports(path: &str, ports: &[ServicePort], report: &mut Report<'_>) {
    const PORTS_MAX: usize = 100;
    report.at_most(path, ports.len(), PORTS_MAX);
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for (index, port) in ports.iter().enumerate() {
        let at = format!("{path}[{index}]");
        report.port(&format!("{at}.port"), port.port);
        match &port.target_port {
            Some(TargetPort::Number(target)) => report.port(&format!("{at}.targetPort"), *target),
            Some(TargetPort::Name(name)) => {
                let what = format!("the named port `{name}`");
                report.later(
                    &format!("{at}.targetPort"),
                    &what,
                    "write the number of the application's port",
                );
            }
            None => {}
        }
        app_protocol(port, &format!("{at}.appProtocol"), report);
        if let Some(transport @ (Transport::Udp | Transport::Sctp)) = port.protocol {
            let name = format!("{transport:?}").to_ascii_uppercase();
            let cause = format!("is {name}, which is not supported yet, so the port has no effect");
            report.no_effect(&format!("{at}.protocol"), &cause, "remove the port: the mesh carries TCP only");
        }
        match &port.name {
            Some(name) => {
                report.label(&format!("{at}.name"), name);
                if !names.insert(name) {
                    report.bad(&format!("{at}.name"), &format!("`{name}` occurs twice"), "use another name");
                }
            }
            None if ports.len() > 1 => {
                report.refuse(
                    Code::MissingField,
                    &format!("{at}.name"),
                    "is missing",
                    "name each port if there are several",
                );
            }
            None => {}
        }
        if !numbers.insert((port.port, port.is_tcp())) {
            report.bad(
                &format!("{at}.port"),
                &format!("{} occurs twice", port.port),
                "remove one of the two",
            );
        }
    }
}

/// What a port declares and the proxy does not do.
fn app_protocol(port: &ServicePort, at: &str, report: &mut Report<'_>) {
    let declared = port.app_protocol.as_deref().unwrap_or_default();
    if declared.eq_ignore_ascii_case("kubernetes.io/ws") {
        let cause =
            "is kubernetes.io/ws, but WebSocket upgrades are not forwarded yet: they are answered with 403";
        let fix = "write `tcp`, which carries WebSocket as it is, without routes and retries";
        report.no_effect(at, cause, fix);
    }
}
