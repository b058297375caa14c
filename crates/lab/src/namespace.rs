//! One network namespace: made in a thread of its own, kept by a descriptor, configured by netlink.
//!
//! A socket belongs to the namespace in which it was created, so short-lived threads create sockets there
//! and hand them to the lab's one runtime. Never uses the `ip` program.

use crate::raw;
use anyhow::{Context, Result};
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// Index of the loopback interface in every network namespace.
const LOOPBACK_INDEX: u32 = 1;
/// A connection that takes longer than this to a process in the lab fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A network namespace. The last clone's drop ends it, once no process is left inside.
#[derive(Clone)]
pub(crate) struct Namespace {
    fd: Arc<OwnedFd>,
    links: Handle,
}

/// Where the two ends of a virtual cable go.
pub(crate) struct Cable<'a> {
    /// Interface index and name in the namespace that makes the cable.
    pub near: (u32, String),
    /// Bridge that the near end is plugged into, by index; `None`: none.
    pub bridge: Option<u32>,
    /// The other end's namespace.
    pub far: &'a Namespace,
    /// Interface index and name there.
    pub far_end: (u32, String),
}

impl Namespace {
    /// Makes an empty namespace with its loopback interface up and without IPv6.
    pub(crate) async fn create() -> Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let made = in_thread(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
            let fd = raw::open_own_namespace().context("open the new network namespace")?;
            // The lab speaks IPv4 only; link-local IPv6 would only add noise to packet captures.
            for scope in ["all", "default"] {
                let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1");
            }
            let _entered = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection().context("open a netlink socket")?;
            Ok((fd, connection, handle))
        });
        let (fd, connection, links) = made.await?;
        tokio::spawn(connection);
        let namespace = Self { fd: Arc::new(fd), links };
        namespace.set_link(LOOPBACK_INDEX, LinkState::Up).await?;
        Ok(namespace)
    }

    /// For `setns` between fork and exec.
    pub(crate) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Runs `work` in a thread inside the namespace.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let fd = Arc::clone(&self.fd);
        in_thread(move || {
            raw::enter_namespace(&fd).context("enter a network namespace")?;
            work()
        })
        .await
    }

    /// Connects from inside the namespace.
    pub(crate) async fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        let runtime = tokio::runtime::Handle::current();
        let socket = self
            .run(move || {
                let _entered = runtime.enter();
                TcpSocket::new_v4().context("open a socket")
            })
            .await?;
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(to)).await;
        connected
            .with_context(|| format!("connect to {to}: timed out"))?
            .with_context(|| format!("connect to {to}"))
    }

    /// Lets the namespace forward packets between its interfaces.
    pub(crate) async fn enable_forwarding(&self) -> Result<()> {
        self.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("enable forwarding")).await
    }

    /// Adds a bridge that is up.
    pub(crate) async fn add_bridge(&self, index: u32, name: &str) -> Result<()> {
        let message = LinkBridge::new(name).index(index).up().build();
        self.links.link().add(message).execute().await.with_context(|| format!("add bridge {name}"))
    }

    /// Adds a virtual cable, both ends up.
    pub(crate) async fn add_cable(&self, cable: Cable<'_>) -> Result<()> {
        let far = LinkUnspec::new_with_index(cable.far_end.0)
            .name(&cable.far_end.1)
            .setns_by_fd(cable.far.raw_fd())
            .build();
        let mut near = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .index(cable.near.0)
            .name(&cable.near.1)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
            .up();
        if let Some(bridge) = cable.bridge {
            near = near.controller(bridge);
        }
        let added = self.links.link().add(near.build()).execute().await;
        added.with_context(|| format!("add cable {} to {}", cable.near.1, cable.far_end.1))?;
        // Not at creation: an end cannot come up before it knows its other end.
        cable.far.set_link(cable.far_end.0, LinkState::Up).await
    }

    /// Gives an interface an address.
    pub(crate) async fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<()> {
        let added = self.links.address().add(index, IpAddr::V4(address), prefix).execute().await;
        added.with_context(|| format!("add address {address}/{prefix}"))
    }

    /// Sets the default route.
    pub(crate) async fn add_default_route(&self, gateway: Ipv4Addr) -> Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
        let added = self.links.route().add(route).execute().await;
        added.with_context(|| format!("add the default route to {gateway}"))
    }

    /// Takes an interface down or up.
    pub(crate) async fn set_link(&self, index: u32, state: LinkState) -> Result<()> {
        let link = LinkUnspec::new_with_index(index);
        let message = match state {
            LinkState::Up => link.up(),
            LinkState::Down => link.down(),
        };
        self.links.link().change(message.build()).execute().await.context("set a link's state")
    }
}

/// Whether an interface carries traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// It does.
    Up,
    /// It does not; routes through it are gone.
    Down,
}

/// Runs `work` in a thread that ends with it. Not tokio's pool: its threads are used again, and a thread
/// that changed its namespace must not be.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    let start = std::thread::Builder::new().name("namespace".into());
    start
        .spawn(move || {
            let _ = done.send(work());
        })
        .context("start a thread")?;
    result.await.context("a namespace thread ended early")?
}
