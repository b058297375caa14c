//! From options to a running management plane, and down again.

use crate::clusters::Clusters;
use crate::options::{Options, Seams};
use crate::serving::{Hub, HubDeps, HubService, ManagerMetrics};
use crate::view;
use anyhow::Context;
use apiserver::{DiskStore, Store, Table};
use ca::{CertificateRequest, IssueError, RootIssuer};
use daemon::admin::serve_metrics;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::{Drain, DrainTrigger, Tasks};
use identity::{Clients, Identity, Key, Svid};
use model::Backoff;
use planes::OwnCertificates;
use planes::health::{CertificateMetrics, of_certificates};
use planes::listener::{MtlsConfig, bind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use xds::grpc::Services;

/// Name of the store in the state directory.
const STORE_FILE: &str = "manager.redb";
/// How long a stop waits for what is under way.
const STOP_DEADLINE: Duration = Duration::from_secs(3);
/// First wait after the certificate was not signed; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);

const CERTIFICATE_METRICS: CertificateMetrics = CertificateMetrics {
    expiry: "leno_manager_certificate_expiry_timestamp_seconds",
    expiry_help: "When the management plane's own certificate expires, in seconds since the epoch",
    label: None,
    outside_validity: "leno_manager_peer_certificates_outside_validity_total",
};

/// A management plane that runs.
pub struct ManagementPlane {
    /// Where control planes connect.
    pub control: SocketAddr,
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where metrics are served.
    pub metrics: SocketAddr,
    tasks: Tasks,
    trigger: DrainTrigger,
}

impl ManagementPlane {
    /// Ends streams and calls in order.
    pub async fn stop(self) {
        self.trigger.start();
        let drained = self.tasks.drain(STOP_DEADLINE).await;
        if !drained.aborted.is_empty() {
            tracing::info!(tasks = ?drained.aborted, "cut off at the end");
        }
    }
}

/// Runs a management plane until the process is asked to stop.
pub async fn run(options: Options, seams: Seams) -> anyhow::Result<()> {
    let running = start(options, seams).await?;
    tracing::info!(control = %running.control, api = %running.api, metrics = %running.metrics, "management plane runs");
    daemon::process::wait_for_stop().await.context("wait for signals")?;
    running.stop().await;
    Ok(())
}

/// Asks until there is a first certificate.
async fn first_identity(issuer: &dyn RootIssuer) -> anyhow::Result<Identity> {
    let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
    loop {
        let key = Key::generate()?;
        match issuer.sign_leaf(CertificateRequest { csr: &key.csr()?, caller: None }).await {
            Ok(issued) => {
                let identity = Identity::new(issued.bundles);
                identity.install(Svid::new(key, issued.chain)?);
                return Ok(identity);
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "no certificate yet; trying again");
            }
        }
        tokio::time::sleep(backoff.next_wait(identity::rotate::jitter())).await;
    }
}

/// Keeps the certificate fresh until the drain.
async fn renew(identity: Identity, issuer: Arc<dyn RootIssuer>, clock: Arc<dyn Clock>, drain: Drain) {
    let caller = identity.clone();
    let sign = move |csr: Vec<u8>| {
        let (issuer, caller) = (issuer.clone(), caller.clone());
        async move {
            let issued = issuer.sign_leaf(CertificateRequest { csr: &csr, caller: Some(&caller) }).await?;
            Ok::<_, IssueError>(identity::rotate::SignedLeaf { chain: issued.chain, bundles: issued.bundles })
        }
    };
    let on_event = |event| match event {
        identity::rotate::Event::Renewed { .. } => tracing::debug!("certificate renewed"),
        identity::rotate::Event::Failed { error, .. } => tracing::warn!(error, "certificate not renewed"),
    };
    tokio::select! {
        () = async { identity::rotate::run(identity, sign, move || clock.wall(), identity::rotate::jitter, on_event).await } => {}
        () = drain.started() => {}
    }
}

/// Starts a management plane in tasks of the current runtime.
pub async fn start(options: Options, seams: Seams) -> anyhow::Result<ManagementPlane> {
    let issuer = match &seams.issuer {
        Some(issuer) => issuer.clone(),
        None => ca::issuer::open(&options.issuer)?,
    };
    daemon::files::make_directory(&options.state_dir)
        .with_context(|| format!("make {}", options.state_dir.display()))?;
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(&options.state_dir.join(STORE_FILE))?);
    let rows = |table| store.rows(table).context("read the store");
    let clusters = Clusters::load(&rows(Table::Remote)?, &rows(Table::History)?, seams.clock.wall());
    let listener = bind(options.listen, "--listen").await?;
    let api = bind(options.api, "--api").await?;
    let metrics_listener = bind(options.metrics, "--metrics").await?;
    let wall = seams.clock.clone();
    let identity = first_identity(&*issuer).await?.with_wall(move || wall.wall());

    let registry = Registry::new();
    let (trigger, drain) = Drain::new();
    let tasks = Tasks::new();
    let running = ManagementPlane {
        control: listener.local_addr()?,
        api: api.local_addr()?,
        metrics: metrics_listener.local_addr()?,
        tasks: tasks.clone(),
        trigger,
    };
    let hub = Arc::new(Hub::new(HubDeps {
        clusters: Mutex::new(clusters),
        store,
        metrics: ManagerMetrics::new(&registry),
        clock: seams.clock.clone(),
        tasks: tasks.clone(),
        drain: drain.clone(),
        trust_domain: identity.id().context("the certificate has no identity")?.trust_domain,
    }));
    tasks.spawn("certificate", renew(identity.clone(), issuer, seams.clock.clone(), drain.clone()));
    let (until, viewed) = (drain.clone(), hub.clone());
    let own = identity.clone();
    let certificates: OwnCertificates = Arc::new(move || own.held("own certificate").into_iter().collect());
    let (own, clock) = (identity.clone(), seams.clock.clone());
    let health = of_certificates(certificates.clone(), own, &registry, clock, CERTIFICATE_METRICS);
    tasks.spawn("api", async move {
        let served = view::serve(api, viewed, certificates, async move { until.started().await });
        if let Err(error) = served.await {
            tracing::error!(%error, "the API ended");
        }
    });
    let service = Arc::new(HubService(hub));
    let services = Services { discovery: Some(service.clone()), enrollment: None, federation: Some(service) };
    let tls = MtlsConfig {
        identity,
        // A control plane has an expired certificate renewed elsewhere.
        clients: Clients::Required,
        clock: seams.clock,
        registry: registry.clone(),
        refused_metric: "leno_manager_handshakes_refused_total",
    };
    tasks.spawn("control", tls.serve(listener, services, drain.clone()));
    tasks.spawn("metrics", serve_metrics(metrics_listener, registry, health, drain));
    Ok(running)
}
