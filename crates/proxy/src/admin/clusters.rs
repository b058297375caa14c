//! `/clusters`, in the lines of Envoy's text format, with its health flags.

use crate::snapshot::Snapshot;
use model::service::{EndpointState, Reach};
use std::fmt::Write;
use std::net::SocketAddr;

/// One block for each host, sorted by name.
pub(super) fn render(snapshot: &Snapshot, now_ms: u64) -> String {
    let mut hosts: Vec<_> = snapshot.hosts().collect();
    hosts.sort_by(|a, b| a.service.host.cmp(&b.service.host));
    let mut text = String::new();
    for entry in hosts {
        let host = &entry.service.host;
        let _ = writeln!(text, "{host}::observability_name::{host}");
        if let Some(ip) = entry.service.address {
            let _ = writeln!(text, "{host}::mesh_address::{ip}");
        }
        for (index, endpoint) in entry.endpoints.iter().enumerate() {
            // A port of 0 means the service port's target.
            let port = match endpoint.port {
                0 => entry.service.ports.first().map_or(0, |port| port.target_port),
                port => port,
            };
            let at = SocketAddr::new(endpoint.address, port);
            let health = match (endpoint.state, entry.states.is_ejected(index, now_ms)) {
                (EndpointState::Draining | EndpointState::Unready, _) => "/failed_eds_health",
                (EndpointState::Ready, true) => "/failed_outlier_check",
                (EndpointState::Ready, false) => "healthy",
            };
            let reach = match endpoint.reach {
                Reach::Native => "native",
                Reach::Hbone => "hbone",
                Reach::Plain => "plain",
                Reach::Gateway => "gateway",
            };
            let priority = entry.priorities.levels().position(|level| level.contains(&(index as u32)));
            let _ = writeln!(text, "{host}::{at}::rq_active::{}", entry.states.active(index));
            let _ = writeln!(text, "{host}::{at}::health_flags::{health}");
            let _ = writeln!(
                text,
                "{host}::{at}::consecutive_failures::{}",
                entry.states.health(index).failures()
            );
            let _ = writeln!(text, "{host}::{at}::weight::{}", endpoint.weight);
            let _ = writeln!(text, "{host}::{at}::region::{}", endpoint.locality.region);
            let _ = writeln!(text, "{host}::{at}::zone::{}", endpoint.locality.zone);
            let _ = writeln!(text, "{host}::{at}::cluster::{}", endpoint.cluster);
            let _ = writeln!(text, "{host}::{at}::reach::{reach}");
            let _ = writeln!(text, "{host}::{at}::uid::{}", endpoint.uid);
            if let Some(priority) = priority {
                let _ = writeln!(text, "{host}::{at}::priority::{priority}");
            }
        }
    }
    text
}
