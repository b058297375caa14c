//! From options to a running control plane, and down again.

use crate::authority::Authority;
use crate::backend::ClusterApi;
use crate::directory::Directory;
use crate::enroll::{Desk, Parts};
use crate::federation::{self, Federation};
use crate::local::watch_into;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::options::{Options, Seams};
use crate::plane::{Plane, Stored};
use crate::presence::Presence;
use crate::serving::Streams;
use crate::task::{self, Handle};
use crate::tokens::Tokens;
use crate::watch;
use anyhow::Context;
use apiserver::{DiskStore, Row, Store, Table};
use ca::{Issuer, SocketIssuer};
use daemon::admin::{AdminHandler, AdminReply};
use daemon::metrics::Registry;
use daemon::{Drain, DrainTrigger, Tasks};
use identity::{Clients, Identity};
use model::{Hostname, Locality};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use translate::ClusterPlace;
use xds::grpc::{Refused, Services, Tls};

/// Name of the store in the state directory.
const STORE_FILE: &str = "control.redb";
/// How long a stop waits for what is under way.
const STOP_DEADLINE: Duration = Duration::from_secs(3);
/// The account of the management plane's identity.
const MANAGER_ACCOUNT: &str = "manager";

/// A control plane that runs.
pub struct Running {
    /// Where proxies connect.
    pub control: SocketAddr,
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where metrics are served.
    pub metrics: SocketAddr,
    /// The plane.
    pub handle: Handle,
    tasks: Tasks,
    trigger: DrainTrigger,
}

impl Running {
    /// Ends streams and calls in order.
    pub async fn stop(self) {
        self.trigger.start();
        drop(self.handle);
        let drained = self.tasks.drain(STOP_DEADLINE).await;
        if !drained.aborted.is_empty() {
            tracing::info!(tasks = ?drained.aborted, "cut off at the end");
        }
    }
}

/// Runs a control plane until the process is asked to stop.
pub async fn run(options: Options, seams: Seams) -> anyhow::Result<()> {
    let running = start(options, seams).await?;
    tracing::info!(control = %running.control, api = %running.api, metrics = %running.metrics, "control plane runs");
    daemon::process::wait_for_stop().await.context("wait for signals")?;
    running.stop().await;
    Ok(())
}

fn issuer(options: &Options, seams: &Seams) -> anyhow::Result<Arc<dyn Issuer>> {
    if let Some(issuer) = &seams.issuer {
        return Ok(issuer.clone());
    }
    let fd = options.issuer_fd.context("who signs this cluster's certificates? give --issuer-fd")?;
    // SAFETY: whoever started this process opened the descriptor for it, and nothing else here uses it.
    let socket = unsafe { SocketIssuer::from_fd(fd) };
    Ok(Arc::new(socket.with_context(|| format!("use inherited descriptor {fd} as the issuer's socket"))?))
}

/// What an earlier run left in the store.
fn load(store: &dyn Store, now: std::time::Instant) -> anyhow::Result<(Stored, xds::client::Session)> {
    let rows = |table| store.rows(table).context("read the store");
    let (remote, session) = federation::load(&rows(Table::Remote)?);
    let address = |row: Row| -> Option<(Hostname, Ipv4Addr)> {
        Some((Hostname::parse(&row.key)?, std::str::from_utf8(&row.value).ok()?.parse().ok()?))
    };
    let addresses: BTreeMap<Hostname, Ipv4Addr> = rows(Table::Addresses)?.into_iter().filter_map(address).collect();
    let stored = Stored {
        objects: Objects::load(&rows(Table::Objects)?),
        presence: Presence::load(&rows(Table::Registrations)?, now),
        addresses,
        remote,
    };
    Ok((stored, session))
}

/// Starts a control plane in tasks of the current runtime.
pub async fn start(options: Options, seams: Seams) -> anyhow::Result<Running> {
    let clock = seams.clock.clone();
    let issuer = issuer(&options, &seams)?;
    std::fs::create_dir_all(&options.state_dir).with_context(|| format!("make {}", options.state_dir.display()))?;
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(&options.state_dir.join(STORE_FILE))?);
    let (mut stored, session) = load(&*store, clock.now())?;
    let watching = match &options.config {
        Some(root) => {
            // Watch first, read then: what changes in between is read again.
            let watcher = watch::start(root).with_context(|| format!("watch {}", root.display()))?;
            let directory = Directory::open(root)?;
            let (objects, findings) = (directory.objects().cloned().collect(), directory.findings().cloned().collect());
            stored.objects.set_files(objects, findings);
            Some((directory, watcher))
        }
        None => None,
    };
    let listener = bind(options.listen, "--listen").await?;
    let api = bind(options.api, "--api").await?;
    let metrics_listener = bind(options.metrics, "--metrics").await?;

    let authority = Authority::start(issuer, clock.clone()).await;
    let identity = Identity::new(authority.bundles());
    authority.install_own(&identity).context("make the control plane's own certificate")?;

    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let cluster: Arc<str> = options.cluster.as_str().into();
    let place = ClusterPlace {
        cluster: cluster.clone(),
        network: cluster.clone(),
        locality: Locality::default(),
        trust_domain: authority.trust_domain(),
    };
    let plane = Plane::new(place, authority.bundles(), stored, metrics.clone(), clock.now());
    for finding in plane.findings() {
        tracing::warn!(%finding, "configuration");
    }
    let (work, handle, rows) = task::prepare(clock.clone());
    let (trigger, drain) = Drain::new();
    let tasks = Tasks::new();
    let running = Running {
        control: listener.local_addr()?,
        api: api.local_addr()?,
        metrics: metrics_listener.local_addr()?,
        handle: handle.clone(),
        tasks: tasks.clone(),
        trigger,
    };

    let until = drain.clone();
    tasks.spawn("world", async move {
        tokio::select! {
            () = work.run(plane) => {}
            () = async { until.started().await; tokio::time::sleep(STOP_DEADLINE / 2).await } => {}
        }
    });
    tasks.spawn("rows", task::write_rows(store.clone(), rows));
    if let Some((directory, (watcher, events))) = watching {
        tasks.spawn("watch", watch_into(directory, watcher, events, handle.clone(), drain.clone()));
    }
    spawn_until(&tasks, &drain, "authority", authority.clone().renew(identity.clone(), handle.clone()));
    spawn_until(&tasks, &drain, "own certificate", authority.clone().renew_own(identity.clone()));
    if let Some(manager) = options.manager {
        let federation = Federation {
            manager,
            manager_id: authority.system_id(MANAGER_ACCOUNT),
            cluster,
            identity: identity.clone(),
            handle: handle.clone(),
            store: store.clone(),
            metrics: metrics.clone(),
            drain: drain.clone(),
        };
        tasks.spawn("federation", federation.run(session));
    }
    let tokens = Tokens::new(store.clone(), clock.clone());
    let pin = authority.clone();
    let backend =
        ClusterApi::new(handle.clone(), store.clone(), tokens.clone(), Arc::new(move || Some(pin.root_pin())));
    let until = drain.clone();
    tasks.spawn("api", async move {
        let served = apiserver::http::serve(api, backend, async move { until.started().await });
        if let Err(error) = served.await {
            tracing::error!(%error, "the API ended");
        }
    });
    let desk = Desk::new(Parts {
        handle: handle.clone(),
        authority,
        tokens,
        store,
        metrics: metrics.clone(),
        clock: clock.clone(),
        ttl: options.certificate_ttl(),
    });
    let streams = Streams::new(handle, tasks.clone(), drain.clone(), metrics.clone(), clock);
    let services =
        Services { discovery: Some(Arc::new(streams)), enrollment: Some(Arc::new(desk)), federation: None };
    tasks.spawn("control", serve_control(listener, identity, services, registry.clone(), drain.clone()));
    tasks.spawn("metrics", serve_metrics(metrics_listener, registry, drain));
    Ok(running)
}

async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address} ({option})"))
}

/// Spawns what runs for ever, to be ended by the drain.
fn spawn_until(tasks: &Tasks, drain: &Drain, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let drain = drain.clone();
    tasks.spawn(name, async move {
        tokio::select! {
            () = work => {}
            () = drain.started() => {}
        }
    });
}

async fn serve_control(listener: TcpListener, identity: Identity, services: Services, registry: Registry, drain: Drain) {
    let tls = Tls { config: identity.server_config(Clients::Requested, &[b"h2"]), peer: identity::peer };
    let refused: Refused = Arc::new(move |peer, error| {
        let reason = identity::refusal(error);
        let labels = [("reason", reason.row().code)];
        registry.counter("leno_control_handshakes_refused_total", "Handshakes refused", &labels).inc();
        tracing::warn!(%peer, reason = reason.row().code, %error, "handshake refused");
    });
    if let Err(error) = xds::grpc::serve(listener, Some(tls), services, refused, drain.started()).await {
        tracing::error!(%error, "the control listener ended");
    }
}

async fn serve_metrics(listener: TcpListener, registry: Registry, drain: Drain) {
    let handler: AdminHandler = Arc::new(move |request| match request.path {
        "/metrics" => AdminReply::metrics(registry.render()),
        "/ready" | "/healthz" => AdminReply::text(200, "ok\n"),
        _ => AdminReply::not_found(),
    });
    if let Err(error) = daemon::admin::serve(listener, handler, drain).await {
        tracing::error!(%error, "the metrics listener ended");
    }
}

#[cfg(test)]
mod tests;
