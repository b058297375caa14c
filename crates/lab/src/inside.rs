//! The running lab: its hosts, and how far the first start is. Lives in PID 1, on one thread. What is done to hosts
//! is in `lifecycle`.

use crate::enter::{Inherited, LabOptions};
use crate::files::ResolvConf;
use crate::host::{Ground, Host};
use crate::network::Networks;
use crate::pcap::Capture;
use crate::plan::{self, HostPlan, Role};
use crate::process::Processes;
use crate::protocol::LabStatus;
use crate::root::LabRoot;
use anyhow::{Context, Result, bail};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// Everything that the lab holds.
pub(crate) struct Inside {
    /// What it was started with.
    pub options: LabOptions,
    /// What hosts share.
    pub ground: Ground,
    /// Signs control planes and the manager; its key is in this process's memory only.
    pub root: LabRoot,
    /// Listening sockets of the outer host, by cluster.
    pub entrances: BTreeMap<String, TcpListener>,
    /// Running packet captures by name.
    pub captures: RefCell<BTreeMap<String, Capture>>,
    /// Last part of the next further workload's address.
    pub next_address: Cell<u8>,
    networks: OnceCell<Networks>,
    hosts: RefCell<BTreeMap<String, Rc<Host>>>,
    started: SystemTime,
    phase: watch::Sender<Phase>,
}

/// How far the first start is.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Under way.
    Starting,
    /// Everything is ready, so long after the launcher's start.
    Ready(Duration),
    /// It did not come up.
    Failed(String),
}

impl Inside {
    /// An empty lab.
    pub(crate) fn new(
        inherited: Inherited,
        entrances: BTreeMap<String, TcpListener>,
        processes: Processes,
        resolv_conf: ResolvConf,
    ) -> Result<Rc<Self>> {
        let ground = Ground { processes, resolv_conf, log: inherited.options.log.clone() };
        Ok(Rc::new(Self {
            ground,
            root: LabRoot::create(plan::TRUST_DOMAIN)?,
            entrances,
            captures: RefCell::default(),
            next_address: Cell::new(plan::REPLICA_ADDRESSES),
            networks: OnceCell::new(),
            hosts: RefCell::default(),
            started: inherited.started,
            phase: watch::Sender::new(Phase::Starting),
            options: inherited.options,
        }))
    }

    /// Takes in the hosts of the first start, network holders included.
    pub(crate) fn install(&self, networks: Networks, hosts: Vec<Host>) -> Result<()> {
        let holders = networks.holders().map(Rc::clone);
        let all = hosts.into_iter().map(Rc::new).chain(holders);
        self.hosts.borrow_mut().extend(all.map(|host| (host.plan.name.clone(), host)));
        self.networks.set(networks).ok().context("the networks exist already")
    }

    /// Tells those who wait how the first start went.
    pub(crate) fn first_start_ended(&self, result: Result<()>) {
        self.phase.send_replace(match result {
            Ok(()) => Phase::Ready(self.started.elapsed().unwrap_or_default()),
            Err(error) => Phase::Failed(format!("{error:#}")),
        });
    }

    /// All hosts in order of name, network holders included.
    pub(crate) fn all_hosts(&self) -> Vec<Rc<Host>> {
        self.hosts.borrow().values().cloned().collect()
    }

    /// The host with this name; the error names those that exist.
    pub(crate) fn host(&self, name: &str) -> Result<Rc<Host>> {
        if let Some(host) = self.hosts.borrow().get(name) {
            return Ok(Rc::clone(host));
        }
        let known: Vec<String> = self.hosts.borrow().keys().cloned().collect();
        bail!("there is no host {name}; there are: {}", known.join(", "))
    }

    /// Makes a host that the first start did not have.
    pub(crate) async fn add_host(&self, plan: HostPlan) -> Result<Rc<Host>> {
        let networks = self.networks()?;
        let host = Rc::new(networks.attach(&self.ground, plan).await?);
        self.hosts.borrow_mut().insert(host.plan.name.clone(), Rc::clone(&host));
        Ok(host)
    }

    /// Bridges and routers.
    pub(crate) fn networks(&self) -> Result<&Networks> {
        self.networks.get().context("the lab is still starting; wait for it with: leno demo ps")
    }

    /// Waits for the end of the first start.
    pub(crate) async fn wait_ready(&self) -> Result<()> {
        let mut phase = self.phase.subscribe();
        let settled = phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await;
        match &*settled.context("the lab ended")? {
            Phase::Failed(message) => bail!("{message}"),
            _ => Ok(()),
        }
    }

    /// Everything that runs.
    pub(crate) fn status(&self) -> LabStatus {
        let ready_after = match &*self.phase.borrow() {
            Phase::Ready(time) => Some(*time),
            _ => None,
        };
        let visible = self.all_hosts().into_iter().filter(|host| host.plan.role != Role::Bridge);
        let address =
            |listener: &TcpListener| listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
        LabStatus {
            name: self.options.name.clone(),
            ready: ready_after.is_some(),
            ready_after,
            entrances: self.entrances.iter().map(|(name, l)| (name.clone(), address(l))).collect(),
            hosts: visible.map(|host| host.row()).collect(),
        }
    }

    /// The inherited socket that a gateway host accepts calls of the outer host on.
    pub(crate) fn entrance_of(&self, host: &Host) -> Option<i32> {
        (host.plan.role == Role::Gateway)
            .then(|| self.entrances.get(&host.plan.cluster).map(AsRawFd::as_raw_fd))
            .flatten()
    }
}
