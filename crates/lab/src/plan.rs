//! The demo as data: networks, hosts, addresses, and what runs on each.
//!
//! West and east use the same addresses on purpose: only gateways know both sides.

use std::net::Ipv4Addr;

/// Trust domain of every lab.
pub const TRUST_DOMAIN: &str = "leno.demo";
/// Namespace of the demo's objects.
pub const NAMESPACE: &str = "default";
/// Most workloads of one service in one cluster.
pub const REPLICAS_MAX: u32 = 20;
/// The port of every demo application.
pub const APP_PORT: u16 = 8080;
/// The port of the gateways' listener on their own network.
pub const GATEWAY_PORT: u16 = 80;
/// The gateways' listener that an inherited socket of the outer host stands for.
pub const ENTRANCE_PORT: u16 = 8080;
/// A control plane's API, on its host's loopback address.
pub const API_PORT: u16 = 15080;
/// The management plane's, on its host's.
pub const MANAGER_API_PORT: u16 = 15081;

/// Prefix length of both kinds of network.
pub const PREFIX: u8 = 24;
/// Joins the clusters.
pub const BACKBONE: &str = "backbone";
/// The manager's address on the backbone.
pub const MANAGER: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
/// Clusters with a pod network.
pub const CLUSTERS: [&str; 2] = ["west", "east"];
/// All clusters with a control plane.
pub const CONTROLLED: [&str; 3] = ["west", "east", "edge"];

/// An address of the pod network, the same in every cluster.
pub const fn pod(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 0, last)
}

/// An address of the backbone.
pub const fn backbone(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 0, last)
}

/// The router of every pod network.
pub const ROUTER: Ipv4Addr = pod(1);

/// What a host is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// `leno manager`.
    Manager,
    /// `leno control`.
    Control,
    /// A proxy that takes calls from outside; serves the `Gateway` of the same name.
    Gateway,
    /// A proxy between clusters.
    EastWest,
    /// The demo application with its proxy.
    Service(ServicePlan),
    /// No application of its own; commands are run there, through its proxy.
    Client,
    /// Holds a bridge; runs nothing.
    Bridge,
}

/// One workload group of the demo application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    /// What it calls itself in answers.
    pub service: String,
    /// Its version in answers.
    pub version: String,
    /// Whom it calls to answer.
    pub next: Option<String>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlan {
    /// `west/web-api`; `mgmt` for the one of the management plane.
    pub name: String,
    /// For example `west`.
    pub cluster: String,
    /// The `WorkloadGroup` that its proxy joins.
    pub group: String,
    /// See [`Role`].
    pub role: Role,
    /// Address on the cluster's own network, if it has one.
    pub pod: Option<Ipv4Addr>,
    /// Address on the backbone, if it has one.
    pub backbone: Option<Ipv4Addr>,
    /// Whether it runs from the start.
    pub starts: bool,
}

impl HostPlan {
    /// Short name, without the cluster.
    pub fn short(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(_, short)| short)
    }

    /// The address that others use for it.
    pub fn address(&self) -> Ipv4Addr {
        self.pod.or(self.backbone).unwrap_or(Ipv4Addr::LOCALHOST)
    }

    /// What it is for, in a few words.
    pub fn purpose(&self) -> String {
        match &self.role {
            Role::Manager => "management plane".into(),
            Role::Control => "control plane".into(),
            Role::Gateway if self.cluster == "edge" => "API gateway".into(),
            Role::Gateway => "ingress gateway".into(),
            Role::EastWest => "east-west gateway".into(),
            Role::Client => "client with curl".into(),
            Role::Bridge => "network".into(),
            Role::Service(plan) => match &plan.next {
                Some(next) => format!("{} {}, calls {next}", plan.service, plan.version),
                None => format!("{} {}", plan.service, plan.version),
            },
        }
    }

    /// Whether traffic of its applications is captured.
    pub fn is_captured(&self) -> bool {
        matches!(self.role, Role::Service(_) | Role::Client)
    }

    /// Whether a proxy runs there.
    pub fn has_proxy(&self) -> bool {
        !matches!(self.role, Role::Manager | Role::Control | Role::Bridge)
    }

    /// A further workload of the same group.
    pub fn replica(&self, number: u32, address: Ipv4Addr) -> Self {
        let mut plan = self.clone();
        plan.name = format!("{}-{number}", self.name);
        plan.pod = Some(address);
        plan
    }
}

/// The services of the demo, each with the service that it calls, and the last part of its address.
const CHAIN: [(&str, &str, Option<&str>, u8); 4] = [
    ("web-api", "v1", Some("recommendation"), 11),
    ("recommendation", "v1", Some("purchase-history"), 12),
    ("purchase-history", "v1", None, 13),
    ("recommendation", "v2", Some("purchase-history"), 15),
];
/// Last part of the clients' address.
const CLIENT: u8 = 14;
/// From here on, addresses of further workloads.
pub const REPLICA_ADDRESSES: u8 = 100;

/// The whole demo.
pub fn demo() -> Vec<HostPlan> {
    let mut hosts = vec![host("mgmt", "mgmt", Role::Manager, None, Some(MANAGER))];
    for (cluster, base) in CLUSTERS.into_iter().zip([10, 20]) {
        let on_both = |name: &str, role, own: u8, outer: u8| {
            host(&format!("{cluster}/{name}"), name, role, Some(pod(own)), Some(backbone(base + outer)))
        };
        hosts.push(on_both("control", Role::Control, 2, 1));
        hosts.push(on_both("ingress", Role::Gateway, 3, 2));
        hosts.push(on_both("east-west", Role::EastWest, 4, 3));
        for (service, version, next, last) in CHAIN {
            let group = if version == "v1" { service.to_owned() } else { format!("{service}-{version}") };
            let role = Role::Service(ServicePlan {
                service: service.into(),
                version: version.into(),
                next: next.map(Into::into),
            });
            let mut plan = host(&format!("{cluster}/{group}"), &group, role, Some(pod(last)), None);
            plan.starts = version == "v1";
            hosts.push(plan);
        }
        hosts.push(host(&format!("{cluster}/client"), "client", Role::Client, Some(pod(CLIENT)), None));
    }
    hosts.push(host("edge/control", "control", Role::Control, None, Some(backbone(31))));
    hosts.push(host("edge/gateway", "gateway", Role::Gateway, None, Some(backbone(32))));
    hosts
}

fn host(name: &str, group: &str, role: Role, pod: Option<Ipv4Addr>, backbone: Option<Ipv4Addr>) -> HostPlan {
    let cluster = name.split('/').next().unwrap_or(name).to_owned();
    HostPlan { name: name.into(), cluster, group: group.into(), role, pod, backbone, starts: true }
}

/// The router's address on the backbone.
pub fn router_backbone(cluster: &str) -> Option<Ipv4Addr> {
    CLUSTERS.iter().position(|name| *name == cluster).map(|index| backbone(10 * (index as u8 + 1)))
}

#[cfg(test)]
mod tests;
