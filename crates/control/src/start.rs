//! From options to a running control plane, and down again.

use crate::authority::Authority;
use crate::backend::{ClusterApi, RootHash};
use crate::enroll::{Enroller, EnrollerDeps};
use crate::federation::{self, FederationLink};
use crate::metrics::Metrics;
use crate::options::{Options, Seams};
use crate::plane::{Plane, Stored};
use crate::presence::Presence;
use crate::serving::Streams;
use crate::source::sink::ObjectSink;
use crate::source::{ObjectSource, applied, write_back};
use crate::task::{self, Handle, Work};
use crate::tokens::Tokens;
use anyhow::Context;
use apiserver::{ApiListeners, Change, DiskStore, Row, StatePlane, Store, StoreError, Table};
use ca::issuer::intermediate::IntermediateIssuer;
use ca::issuer::plugged::{self, CertificateSource};
use daemon::admin::serve_metrics;
use daemon::metrics::Registry;
use daemon::notify::Supervisor;
use daemon::{Drain, DrainTrigger, Tasks};
use identity::{Clients, Identity, MANAGER_ACCOUNT};
use model::{BindAddress, Hostname, Locality};
use planes::OwnCertificates;
use planes::health::{CertificateMetrics, of_certificates};
use planes::listener::{MtlsConfig, bind};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use translate::LocalCluster;
use xds::grpc::Services;

/// Name of the store in the state directory.
const STORE_FILE: &str = StatePlane::Control.file_name();
/// How long a stop waits for what is under way.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

const CERTIFICATE_METRICS: CertificateMetrics = CertificateMetrics {
    expiry: "leno_control_certificate_expiry_timestamp_seconds",
    expiry_help: "When a certificate of the control plane itself expires, in seconds since the epoch",
    label: Some("certificate"),
    outside_validity: "leno_control_peer_certificates_outside_validity_total",
};

/// A control plane that runs.
pub struct ControlPlane {
    /// Where proxies connect.
    pub control: SocketAddr,
    /// Where the API listens.
    pub api: Vec<BindAddress>,
    /// Where metrics are served.
    pub metrics: SocketAddr,
    /// The plane.
    pub handle: Handle,
    tasks: Tasks,
    trigger: DrainTrigger,
}

impl ControlPlane {
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
    let supervisor = Supervisor::from_env()?;
    let running = start(options, seams).await?;
    supervisor.ready();
    let api: Vec<String> = running.api.iter().map(ToString::to_string).collect();
    tracing::info!(control = %running.control, api = api.join(" "), metrics = %running.metrics, "control plane runs");
    tokio::select! {
        stop = daemon::process::wait_for_stop() => { stop.context("wait for signals")?; }
        // Nothing works without it: better to be started anew, with what is stored.
        () = running.handle.ended() => anyhow::bail!("the task that owns the world ended; see the log"),
        () = supervisor.stay_alive() => {}
    }
    supervisor.stopping();
    running.stop().await;
    Ok(())
}

/// What an earlier run left in the store.
fn load(store: &dyn Store) -> anyhow::Result<(Stored, xds::client::ClientSession)> {
    let rows = |table| store.rows(table).context("read the store");
    let (remote, session) = federation::load(&rows(Table::Remote)?);
    let address = |row: Row| -> Option<(Hostname, Ipv4Addr)> {
        Some((Hostname::parse(&row.key)?, std::str::from_utf8(&row.value).ok()?.parse().ok()?))
    };
    let addresses: BTreeMap<Hostname, Ipv4Addr> =
        rows(Table::Addresses)?.into_iter().filter_map(address).collect();
    let stored = Stored {
        objects: applied::load(&rows(Table::Objects)?),
        presence: Presence::load(&rows(Table::Registrations)?),
        addresses,
        remote,
        unstored: Vec::new(),
    };
    Ok((stored, session))
}

/// Opens the sources, and takes in what they say at the start.
fn open_sources(
    options: &Options,
    store: &dyn Store,
    stored: &mut Stored,
) -> anyhow::Result<Vec<Box<dyn ObjectSource>>> {
    let last_good = store.rows(Table::Files).context("read the store")?;
    let mut sources = options.sources().open(last_good)?;
    for source in &mut sources {
        let rows = stored.objects.replace(source.id(), source.first());
        match store.commit(&rows) {
            Ok(_) => {}
            // A mesh that runs on what is known is better than none.
            Err(error @ StoreError::Full { .. }) => {
                tracing::error!(%error, "state not stored; trying again");
                stored.unstored.extend(rows);
            }
            Err(error) => return Err(error).context("store the configuration files"),
        }
    }
    Ok(sources)
}

/// Where the signing certificate comes from.
fn certificate_source(
    options: &Options,
    seams: &Seams,
) -> anyhow::Result<CertificateSource<IntermediateIssuer>> {
    if let Some(issuer) = &seams.issuer {
        return Ok(CertificateSource::Issued(issuer.clone()));
    }
    let given = options.intermediate.intermediate_fd;
    if let (Some(fd), Some(trust_domain)) = (given, &options.issuer.trust_domain) {
        let now = seams.clock.wall();
        let held = plugged::read_intermediate(fd, trust_domain.clone(), &options.cluster, now)?;
        return Ok(CertificateSource::Plugged(held));
    }
    Ok(CertificateSource::Issued(ca::issuer::open(&options.issuer)?))
}

/// Starts a control plane in tasks of the current runtime.
pub async fn start(options: Options, seams: Seams) -> anyhow::Result<ControlPlane> {
    let source = certificate_source(&options, &seams)?;
    daemon::files::make_directory(&options.state_dir)
        .with_context(|| format!("make {}", options.state_dir.display()))?;
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(&options.state_dir.join(STORE_FILE))?);
    let (mut stored, session) = load(&*store)?;
    stored.presence.lives = options.lives();
    let sources = open_sources(&options, &*store, &mut stored)?;
    let listeners = PlaneListeners {
        control: bind(options.listen, "--listen").await?,
        api: ApiListeners::open(&options.api, &options.api_access).await?,
        metrics: bind(options.metrics, "--metrics").await?,
    };
    let authority = Authority::start(source, &options.cluster, seams.clock.clone()).await?;
    let wall = seams.clock.clone();
    let identity = Identity::new(authority.bundles()).with_wall(move || wall.wall());
    authority.install_own(&identity).await.context("make the control plane's own certificate")?;
    listeners.api.show(identity.server_certificate());

    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let (work, handle, rows) = task::prepare(seams.clock.clone());
    let (trigger, drain) = Drain::new();
    let parts = EnrollerDeps {
        handle,
        authority,
        tokens: Tokens::new(store.clone(), seams.clock.clone()),
        store,
        metrics,
        clock: seams.clock,
        ttl: options.certificate_ttl(),
    };
    let running = ControlPlane {
        control: listeners.control.local_addr()?,
        api: listeners.api.addresses(),
        metrics: listeners.metrics.local_addr()?,
        handle: parts.handle.clone(),
        tasks: Tasks::new(),
        trigger,
    };
    let starting = Starting { options, parts, identity, registry, tasks: running.tasks.clone(), drain };
    starting.spawn_plane(work, rows, stored);
    starting.spawn_sources(sources);
    starting.spawn_upkeep(session);
    starting.spawn_listeners(listeners);
    Ok(running)
}

struct PlaneListeners {
    control: TcpListener,
    api: ApiListeners,
    metrics: TcpListener,
}

/// What the tasks are made from.
struct Starting {
    options: Options,
    parts: EnrollerDeps,
    identity: Identity,
    registry: Registry,
    tasks: Tasks,
    drain: Drain,
}

impl Starting {
    /// The plane's own task, and the one that stores what it hands out.
    fn spawn_plane(&self, work: Work, rows: mpsc::Receiver<Vec<Change>>, stored: Stored) {
        let cluster: Arc<str> = self.options.cluster.as_str().into();
        let place = LocalCluster {
            cluster: cluster.clone(),
            network: cluster,
            locality: Locality::default(),
            trust_domain: self.parts.authority.trust_domain(),
        };
        let EnrollerDeps { authority, metrics, clock, .. } = &self.parts;
        let plane = Plane::new(place, authority.bundles(), stored, metrics.clone(), clock.now());
        for finding in plane.findings() {
            tracing::warn!(%finding, "configuration");
        }
        let drain = self.drain.clone();
        self.tasks.spawn("world", async move {
            tokio::select! {
                () = work.run(plane) => {}
                // It ends with its last handle; a handle that is kept must not hold up the stop.
                () = async { drain.started().await; tokio::time::sleep(STOP_DEADLINE / 2).await } => {}
            }
        });
        self.tasks.spawn("rows", task::write_rows(self.parts.store.clone(), rows));
    }

    /// What brings configuration in.
    fn spawn_sources(&self, sources: Vec<Box<dyn ObjectSource>>) {
        for source in sources {
            let (id, handle, drain) = (source.id(), self.parts.handle.clone(), self.drain.clone());
            if let Some(writer) = source.status_writer() {
                self.tasks.spawn("status", write_back::run(id, writer, handle.clone(), drain.clone()));
            }
            self.tasks.spawn("source", source.run(ObjectSink::new(id, handle), drain));
        }
    }

    /// What keeps certificates and the other clusters fresh.
    fn spawn_upkeep(&self, session: xds::client::ClientSession) {
        let EnrollerDeps { authority, handle, store, metrics, clock, .. } = &self.parts;
        self.spawn_until("authority", authority.clone().renew(self.identity.clone(), handle.clone()));
        self.spawn_until("issuer", authority.clone().keep_issuer());
        self.spawn_until("own certificate", authority.clone().renew_own(self.identity.clone()));
        if let Some(manager) = self.options.manager {
            let federation = FederationLink {
                manager,
                manager_id: authority.system_id(MANAGER_ACCOUNT),
                cluster: self.options.cluster.as_str().into(),
                identity: self.identity.clone(),
                handle: handle.clone(),
                store: store.clone(),
                metrics: metrics.clone(),
                clock: clock.clone(),
                drain: self.drain.clone(),
            };
            self.tasks.spawn("federation", federation.run(session));
        }
    }

    /// What others reach us by.
    fn spawn_listeners(self, listeners: PlaneListeners) {
        let Self { parts, identity, registry, tasks, drain, .. } = self;
        let pin = parts.authority.clone();
        let root: RootHash = Arc::new(move || Some(pin.root_pin()));
        let (authority, own) = (parts.authority.clone(), identity.clone());
        let certificates: OwnCertificates = Arc::new(move || authority.certificates(&own));
        let (own, clock) = (identity.clone(), parts.clock.clone());
        let health = of_certificates(certificates.clone(), own, &registry, clock, CERTIFICATE_METRICS);
        let backend = ClusterApi::new(parts.handle.clone(), parts.store.clone(), parts.tokens.clone(), root)
            .with_certificates(certificates);
        let until = drain.clone();
        tasks.spawn("api", async move {
            let served = apiserver::http::serve(listeners.api, backend, async move { until.started().await });
            if let Err(error) = served.await {
                tracing::error!(%error, "the API ended");
            }
        });
        let (handle, metrics, clock) = (parts.handle.clone(), parts.metrics.clone(), parts.clock.clone());
        let streams = Streams::new(handle, tasks.clone(), drain.clone(), metrics, clock.clone());
        let enroller = Enroller::new(parts);
        let services = Services {
            discovery: Some(Arc::new(streams)),
            enrollment: Some(Arc::new(enroller)),
            federation: None,
        };
        let tls = MtlsConfig {
            identity,
            clients: Clients::Renewing,
            clock,
            registry: registry.clone(),
            refused_metric: "leno_control_handshakes_refused_total",
        };
        tasks.spawn("control", tls.serve(listeners.control, services, drain.clone()));
        tasks.spawn("metrics", serve_metrics(listeners.metrics, registry, health, drain));
    }

    /// Spawns what runs for ever, to be ended by the drain.
    fn spawn_until(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let drain = self.drain.clone();
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = work => {}
                () = drain.started() => {}
            }
        });
    }
}

#[cfg(test)]
mod tests;
