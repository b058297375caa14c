//! From options to a running management plane, and down again.

use crate::clusters::Clusters;
use crate::options::{Options, Seams};
use crate::serving::{Hub, HubDeps, HubService, ManagerMetrics};
use crate::view;
use anyhow::Context;
use apiserver::{ApiListeners, DiskStore, StatePlane, Store, Table};
use ca::issuer::plugged::{self, CertificateSource};
use ca::{CertificateRequest, IssueError, RootIssuer};
use daemon::admin::serve_metrics;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::notify::Supervisor;
use daemon::{Drain, DrainTrigger, Tasks};
use identity::{Clients, Identity, Key, Svid};
use model::time::rfc3339;
use model::{Backoff, BindAddress};
use planes::OwnCertificates;
use planes::health::{CertificateMetrics, of_certificates};
use planes::listener::{MtlsConfig, bind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use xds::grpc::Services;

/// Name of the store in the state directory.
const STORE_FILE: &str = StatePlane::Manager.file_name();
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
    pub api: Vec<BindAddress>,
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
    let supervisor = Supervisor::from_env()?;
    let running = start(options, seams).await?;
    supervisor.ready();
    let api: Vec<String> = running.api.iter().map(ToString::to_string).collect();
    tracing::info!(control = %running.control, api = api.join(" "), metrics = %running.metrics, "management plane runs");
    tokio::select! {
        stop = daemon::process::wait_for_stop() => { stop.context("wait for signals")?; }
        () = supervisor.stay_alive() => {}
    }
    supervisor.stopping();
    running.stop().await;
    Ok(())
}

/// Asks until there is a first certificate.
async fn first_identity(issuer: &dyn RootIssuer) -> anyhow::Result<Identity> {
    // The request stays the same, so that a holder knows it again.
    let key = Key::generate()?;
    let csr = key.csr()?;
    let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
    loop {
        match issuer.sign_leaf(CertificateRequest { csr: &csr, caller: None }).await {
            Ok(issued) => match Svid::new(key.clone(), issued.chain) {
                Ok(svid) => {
                    let identity = Identity::new(issued.bundles);
                    identity.install(svid);
                    return Ok(identity);
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "what was signed is of no use; trying again");
                }
            },
            Err(error) if error.is_final() => return Err(error).context("have the certificate signed"),
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

/// Where this plane's certificate comes from.
fn certificate_source(options: &Options, seams: &Seams) -> anyhow::Result<CertificateSource<Identity>> {
    if let Some(issuer) = &seams.issuer {
        return Ok(CertificateSource::Issued(issuer.clone()));
    }
    match options.certificate.certificate_fd {
        Some(fd) => {
            let identity = plugged::read_own_certificate(fd, seams.clock.wall())?;
            Ok(CertificateSource::Plugged(identity))
        }
        None => Ok(CertificateSource::Issued(ca::issuer::open(&options.issuer)?)),
    }
}

/// Until when a certificate holds that was given; `/ready` tells when that nears.
fn tell_end(identity: &Identity) {
    let until = identity.svid().map(|svid| rfc3339(svid.not_after));
    tracing::warn!(
        until,
        "the certificate was given and is not renewed; before it expires, start this management plane anew with \
         another one"
    );
}

/// Starts a management plane in tasks of the current runtime.
pub async fn start(options: Options, seams: Seams) -> anyhow::Result<ManagementPlane> {
    let source = certificate_source(&options, &seams)?;
    daemon::files::make_directory(&options.state_dir)
        .with_context(|| format!("make {}", options.state_dir.display()))?;
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(&options.state_dir.join(STORE_FILE))?);
    let rows = |table| store.rows(table).context("read the store");
    let clusters = Clusters::load(&rows(Table::Remote)?, &rows(Table::History)?, seams.clock.wall());
    let listener = bind(options.listen, "--listen").await?;
    let api = ApiListeners::open(&options.api, &options.api_access).await?;
    let metrics_listener = bind(options.metrics, "--metrics").await?;
    let wall = seams.clock.clone();
    let (issuer, identity) = match source {
        CertificateSource::Issued(issuer) => {
            let identity = first_identity(&*issuer).await?;
            (Some(issuer), identity)
        }
        CertificateSource::Plugged(identity) => (None, identity),
    };
    let identity = identity.with_wall(move || wall.wall());
    api.show(identity.server_certificate());

    let registry = Registry::new();
    let (trigger, drain) = Drain::new();
    let tasks = Tasks::new();
    let running = ManagementPlane {
        control: listener.local_addr()?,
        api: api.addresses(),
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
    match issuer {
        Some(issuer) => {
            let (kept, until) = (issuer.clone(), drain.clone());
            tasks.spawn("issuer", async move {
                tokio::select! {
                    () = kept.keep() => {}
                    () = until.started() => {}
                }
            });
            let renewing = renew(identity.clone(), issuer, seams.clock.clone(), drain.clone());
            tasks.spawn("certificate", renewing);
        }
        None => tell_end(&identity),
    }
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
