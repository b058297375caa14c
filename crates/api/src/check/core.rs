//! Rules for `Service`.

use super::Report;
use crate::core::{ServicePort, ServiceSpec, ServiceType, Transport};
use crate::object::Meta;
use model::Code;
use std::collections::HashSet;

pub(super) fn service(spec: &ServiceSpec, meta: &Meta, report: &mut Report<'_>) {
    if !super::is_label(&meta.name) {
        report.label("metadata.name", &meta.name);
    }
    if spec.service_type == Some(ServiceType::ExternalName) {
        report.later("spec.type", "type ExternalName");
        return;
    }
    super::labels("spec.selector", &spec.selector, report);
    match spec.service_type {
        Some(ServiceType::NodePort | ServiceType::LoadBalancer) => {
            report.ignored("spec.type", "write ClusterIP, and a Gateway for callers from outside");
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
        if let Some(target) = port.target_port {
            report.port(&format!("{at}.targetPort"), target);
        }
        if let Some(transport @ (Transport::Udp | Transport::Sctp)) = port.protocol {
            let name = format!("{transport:?}").to_ascii_uppercase();
            let cause = format!("is {name}, which is not supported yet, so the port has no effect");
            report.vain(&format!("{at}.protocol"), &cause, "remove the port: the mesh carries TCP only");
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
