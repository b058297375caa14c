//! The demo's networks: a bridge per cluster inside its router, and the backbone between the routers.

use crate::host::{Ground, Host};
use crate::namespace::{Cable, LinkState, Namespace};
use crate::plan::{self, BACKBONE, CLUSTERS, HostPlan, PREFIX, ROUTER, Role};
use anyhow::{Context, Result};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Index of the bridge in a router and on the backbone.
pub(crate) const BRIDGE: u32 = 10;
/// Index of a router's interface on the backbone.
const UPLINK: u32 = 20;
/// Index of a host's interface on its cluster's network.
const ETH0: u32 = 2;
/// Index of a host's interface on the backbone.
const ETH1: u32 = 3;
/// First index of the near ends of cables.
pub(crate) const CABLES: u32 = 100;

/// Hides pod addresses, which other clusters use too, behind the router's.
const MASQUERADE: &str = "table ip router {
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    oifname \"uplink\" masquerade
  }
}
";

/// Bridges with the namespaces that hold them.
pub(crate) struct Networks {
    backbone: Rc<Host>,
    routers: BTreeMap<String, Rc<Host>>,
    next_cable: Cell<u32>,
}

impl Networks {
    /// Makes backbone and routers.
    pub(crate) async fn create(ground: &Ground) -> Result<Self> {
        let backbone = Namespace::create().await?;
        backbone.add_bridge(BRIDGE, BACKBONE).await?;
        backbone.add_address(BRIDGE, plan::backbone(1), PREFIX).await?;
        let networks = Self {
            backbone: Rc::new(Host::new(bridge_plan(BACKBONE, BACKBONE), backbone, Vec::new())),
            routers: BTreeMap::new(),
            next_cable: Cell::new(CABLES),
        };
        networks.backbone.furnish(ground, "127.0.0.1")?;
        let routers = CLUSTERS.iter().map(|cluster| networks.create_router(ground, cluster));
        let routers = futures_util::future::try_join_all(routers).await?;
        Ok(Self {
            routers: CLUSTERS.iter().map(|name| (*name).to_owned()).zip(routers).collect(),
            ..networks
        })
    }

    async fn create_router(&self, ground: &Ground, cluster: &str) -> Result<Rc<Host>> {
        let namespace = Namespace::create().await?;
        namespace.enable_forwarding().await?;
        namespace.add_bridge(BRIDGE, cluster).await?;
        namespace.add_address(BRIDGE, ROUTER, PREFIX).await?;
        self.plug(&self.backbone, &namespace, (UPLINK, "uplink")).await?;
        let uplink = plan::router_backbone(cluster).context("cluster without a router")?;
        namespace.add_address(UPLINK, uplink, PREFIX).await?;
        let router = Host::new(bridge_plan(&format!("{cluster}/router"), cluster), namespace, Vec::new());
        router.furnish(ground, "127.0.0.1")?;
        router.apply_rules(ground, MASQUERADE).await?;
        Ok(Rc::new(router))
    }

    /// A cable from a bridge to `far`; the near end, to cut it.
    async fn plug(&self, bridge: &Host, far: &Namespace, end: (u32, &str)) -> Result<(Namespace, u32)> {
        let near = self.next_cable.get();
        self.next_cable.set(near + 1);
        let cable = Cable {
            near: (near, format!("cable{near}")),
            bridge: Some(BRIDGE),
            far,
            far_end: (end.0, end.1.to_owned()),
        };
        bridge.namespace.add_cable(cable).await?;
        Ok((bridge.namespace.clone(), near))
    }

    /// Makes a host with its cables, addresses, default route and files.
    pub(crate) async fn attach(&self, ground: &Ground, plan: HostPlan) -> Result<Host> {
        let namespace = Namespace::create().await?;
        let mut cables = Vec::new();
        if let Some(address) = plan.pod {
            let router = self.routers.get(&plan.cluster).context("cluster without a network")?;
            cables.push(self.plug(router, &namespace, (ETH0, "eth0")).await?);
            namespace.add_address(ETH0, address, PREFIX).await?;
        }
        if let Some(address) = plan.backbone {
            cables.push(self.plug(&self.backbone, &namespace, (ETH1, "eth1")).await?);
            namespace.add_address(ETH1, address, PREFIX).await?;
        }
        // Without a default route, connect fails before capture sees the packet.
        let gateway = if plan.pod.is_some() { ROUTER } else { plan::backbone(1) };
        namespace.add_default_route(gateway).await?;
        let host = Host::new(plan, namespace, cables);
        host.furnish(ground, &gateway.to_string())?;
        Ok(host)
    }

    /// The namespace holding the bridge of a network: `west`, `east` or `backbone`.
    pub(crate) fn bridge(&self, network: &str) -> Option<&Rc<Host>> {
        if network == BACKBONE { Some(&self.backbone) } else { self.routers.get(network) }
    }

    /// The pseudo-hosts that hold bridges: `backbone`, `west/router`, `east/router`.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &Rc<Host>> {
        std::iter::once(&self.backbone).chain(self.routers.values())
    }
}

/// Takes all cables of a host down or up at their far ends, as when they are pulled: the host keeps its
/// addresses and routes, and nothing arrives.
pub(crate) async fn set_cables(host: &Host, state: LinkState) -> Result<()> {
    for (namespace, index) in &host.cables {
        namespace.set_link(*index, state).await?;
    }
    Ok(())
}

fn bridge_plan(name: &str, cluster: &str) -> HostPlan {
    HostPlan {
        name: name.into(),
        cluster: cluster.into(),
        group: String::new(),
        role: Role::Bridge,
        pod: None,
        backbone: None,
        starts: false,
    }
}
