//! Rules for our own kinds.

use super::Report;
use crate::duration;
use crate::leno::{
    BackendSpec, ClusterSpec, ClusterType, GlobalServiceSpec, HttpConnectionManagerSettings,
    MeshSettingsSpec, MtlsMode, OutboundMode, gateway_address,
};
use model::authz::Cidr;
use model::settings::HttpConnections;
use model::{Code, TrustDomain};
use std::collections::HashSet;
use std::time::Duration;

pub(super) fn mesh_settings(spec: &MeshSettingsSpec, report: &mut Report<'_>) {
    if let Some(domain) = &spec.trust_domain
        && TrustDomain::parse(domain).is_none()
    {
        let cause = format!("cannot be `{domain}`");
        report.bad("spec.trustDomain", &cause, "use lower-case letters, digits, `.`, `-` and `_`");
    }
    if spec.mtls == Some(MtlsMode::Permissive) {
        report.later("spec.mtls", "Permissive", "write `Strict`");
    }
    if spec.outbound == Some(OutboundMode::RegistryOnly) {
        report.later(
            "spec.outbound",
            "RegistryOnly",
            "write `AllowAny`; nothing refuses unknown destinations yet",
        );
    }
    if spec.telemetry.access_log.is_some() {
        let fix = "remove it; each proxy writes one if it was started with --access-log";
        report.ignored("spec.telemetry.accessLog", fix);
    }
    for (index, suffix) in spec.dns.suffixes.iter().enumerate() {
        report.subdomain(&format!("spec.dns.suffixes[{index}]"), suffix);
    }
    http_connection_manager(&spec.http_connection_manager, report);
}

fn http_connection_manager(http: &HttpConnectionManagerSettings, report: &mut Report<'_>) {
    const AT: &str = "spec.httpConnectionManager";
    const HOPS_MAX: u32 = HttpConnections::XFF_TRUSTED_HOPS_MAX;
    if let Some(hops) = http.xff_num_trusted_hops {
        if hops > HOPS_MAX {
            let fix = format!("write the number of proxies in front of the gateways, at most {HOPS_MAX}");
            report.bad(&format!("{AT}.xffNumTrustedHops"), &format!("cannot be {hops}"), fix);
        }
        if hops > 0 && !http.xff_trusted_cidrs.is_empty() {
            let cause = "cannot stand beside `xffNumTrustedHops`";
            report.bad(&format!("{AT}.xffTrustedCidrs"), cause, "remove one of the two");
        }
    }
    let blocks = http.xff_trusted_cidrs.len();
    if blocks > HttpConnections::XFF_TRUSTED_CIDRS_MAX {
        let cause = format!("has {blocks} entries, more than {}", HttpConnections::XFF_TRUSTED_CIDRS_MAX);
        report.bad(&format!("{AT}.xffTrustedCidrs"), &cause, "write larger blocks");
    }
    for (index, block) in http.xff_trusted_cidrs.iter().enumerate() {
        if Cidr::parse(block).is_none() {
            let path = format!("{AT}.xffTrustedCidrs[{index}]");
            report.bad(&path, &format!("cannot be `{block}`"), "write a.b.c.d/n or an address");
        }
    }
    for (field, text) in
        [("idleTimeout", &http.idle_timeout), ("streamIdleTimeout", &http.stream_idle_timeout)]
    {
        let range = Duration::from_secs(1)..=HttpConnections::TIMEOUT_MAX;
        if let Some(text) = text
            && duration::parse(text).is_none_or(|time| !range.contains(&time))
        {
            let fix = "write a duration from 1s to 24h, such as 10m20s";
            report.bad(&format!("{AT}.{field}"), &format!("cannot be `{text}`"), fix);
        }
    }
}

pub(super) fn cluster(spec: &ClusterSpec, report: &mut Report<'_>) {
    if spec.cluster_type == Some(ClusterType::Kubernetes) {
        report.ignored("spec.type", "write `Hosts`: workloads are those that join, on whatever they run");
    }
    for (index, gateway) in spec.gateways.iter().enumerate() {
        if gateway_address(gateway).is_none() {
            let path = format!("spec.gateways[{index}]");
            report.bad(&path, &format!("cannot be `{gateway}`"), "write IP or IP:PORT");
        }
    }
}

pub(super) fn global_service(spec: &GlobalServiceSpec, report: &mut Report<'_>) {
    const HOSTS_MAX: usize = 16;
    if spec.hosts.is_empty() {
        report.refuse(Code::MissingField, "spec.hosts", "is empty", "add a name such as shop.mesh.internal");
    }
    report.at_most("spec.hosts", spec.hosts.len(), HOSTS_MAX);
    let mut seen = HashSet::new();
    for (index, host) in spec.hosts.iter().enumerate() {
        let path = format!("spec.hosts[{index}]");
        if !super::is_host(host, false) {
            report.bad(&path, &format!("cannot be `{host}`"), "write a lower-case DNS name");
        } else if host.ends_with(".svc.cluster.local") || host.ends_with(".backend.leno") {
            report.bad(
                &path,
                "lies below a suffix of Leno's own",
                "use another name, for example below mesh.internal",
            );
        }
        if !seen.insert(host) {
            report.bad(&path, "occurs twice", "remove one of the two");
        }
    }
    super::core::ports("spec.ports", &spec.ports, report);
    for (index, backend) in spec.backends.iter().enumerate() {
        let path = format!("spec.backends[{index}].service");
        report.label(&format!("{path}.name"), &backend.service.name);
        if let Some(namespace) = &backend.service.namespace {
            report.label(&format!("{path}.namespace"), namespace);
        }
    }
    for (index, cluster) in spec.failover.order.iter().enumerate() {
        report.subdomain(&format!("spec.failover.order[{index}]"), cluster);
    }
}

pub(super) fn backend(spec: &BackendSpec, report: &mut Report<'_>) {
    const ADDRESSES_MAX: usize = 1024;
    if spec.addresses.is_empty() {
        report.refuse(Code::MissingField, "spec.addresses", "is empty", "add an address");
    }
    report.at_most("spec.addresses", spec.addresses.len(), ADDRESSES_MAX);
    let mut seen = HashSet::new();
    for (index, address) in spec.addresses.iter().enumerate() {
        let path = format!("spec.addresses[{index}]");
        let at = format!("{path}.host");
        if address.ip().is_none() && super::is_host(&address.host, false) {
            let what = format!("the host name `{}`", address.host);
            report.later(&at, &what, "write its IP addresses, each as an entry of `addresses`");
        } else if address.ip().is_none() {
            report.bad(&at, &format!("cannot be `{}`", address.host), "write an IP address, or localhost");
        }
        report.port(&format!("{path}.port"), address.port);
        if !seen.insert((address.ip(), address.port)) {
            report.bad(&path, "occurs twice", "remove one of the two");
        }
    }
    if let Some(protocol) = &spec.protocol
        && !matches!(protocol.as_str(), "http" | "http2" | "grpc" | "tcp")
    {
        report.bad("spec.protocol", &format!("cannot be `{protocol}`"), "write http, http2, grpc or tcp");
    }
}
