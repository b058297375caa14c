//! One proxy from its first line to its last.

use super::alone::Alone;
use super::capture_notice::CaptureNotice;
use super::control::Control;
use super::control_stream::{StreamClient, StreamParts};
use super::join::{self, Token};
use super::unjoined::Unjoined;
use super::{Seams, StartError, admin, name_server, rotate, workers};
use crate::accept::Mark;
use crate::admin::Admin;
use crate::dns::{self, Captured};
use crate::names::NameResolution;
use crate::options::Options;
use crate::probe::{Asker, ExecProbes};
use crate::shared::Shared;
use crate::snapshot::LocalNode;
use daemon::notify::Supervisor;
use daemon::process;
use daemon::{Drain, DrainTrigger, Gate, Readiness};
use decide::Dice;
use decide::balance::ProxyLocality;
use decide::dice::Pcg;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use xds::link::{Link, LinkError};

/// Longest wait for callers to learn that this proxy leaves; then it drains all the same.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(5);
/// Threads for name resolution and file writing on the control runtime, and how long idle ones stay.
const BLOCKING_THREADS_MAX: usize = 2;
const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(1);

/// Runs a proxy of a mesh until SIGTERM or SIGINT: `leno proxy` and `leno-proxy`. Blocks; call it on the
/// main thread, outside of any runtime.
pub fn run(options: Options, seams: Seams) -> Result<(), StartError> {
    on_control_runtime(async move {
        let address = options.control.clone().ok_or(StartError::Option("--control"))?;
        let path = options.join_token_file.clone().ok_or(StartError::Option("--join-token-file"))?;
        let mut bootstrap = Bootstrap::build(options, seams).await?;
        let token = Token::read(&path).map_err(StartError::Join)?;
        // One from here to the end: a signal that came between two would be lost, and with it the drain.
        let mut stop = Box::pin(process::wait_for_stop());
        let unjoined = &mut bootstrap.unjoined;
        let joining = join::join(
            &address,
            &token,
            &unjoined.options.addresses,
            &unjoined.identity,
            &*unjoined.seams.clock,
            &mut unjoined.dice,
        );
        let me = tokio::select! {
            joined = joining => joined.map_err(StartError::Join)?,
            stopped = &mut stop => {
                return stopped.map(drop).map_err(|cause| StartError::System("signals", cause));
            }
        };
        drop(token);
        if let Some(is_joined) = &bootstrap.gates.joined {
            is_joined.open();
        }
        tracing::info!(uid = %me.uid, group = %format!("{}/{}", me.namespace, me.group), "joined the mesh");
        let control = Control::new(&address, me.place.cluster.clone(), unjoined.identity.clone());
        rotate::start(unjoined, &bootstrap.admin.renewal, control.clone());
        let dns = if unjoined.options.no_capture { Vec::new() } else { name_server::bind().await? };
        let opener = control.clone();
        let uid = Arc::clone(&me.uid);
        bootstrap
            .serve(
                me,
                dns,
                stop,
                async move || opener.open().await,
                async move || withdraw(&control, &uid).await,
            )
            .await
    })
}

/// A control plane in this process.
pub struct Opened {
    /// The stream to it.
    pub link: Link,
    /// Part of its configuration was refused. When nothing else is left to serve, the proxy does not start.
    pub has_refusals: bool,
}

/// Runs a gateway outside of any mesh, fed over an in-process link: `leno gateway`. No identity, no
/// capture, no DNS. `open` is called once, inside the control runtime.
pub fn run_with_link<F>(options: Options, seams: Seams, open: F) -> Result<(), StartError>
where
    F: FnOnce() -> Result<Opened, Box<dyn Error + Send + Sync>> + 'static,
{
    on_control_runtime(async move {
        let options = Options { no_capture: true, ..options };
        let mut bootstrap = Bootstrap::build(options, seams).await?;
        let me = LocalNode {
            uid: "local".into(),
            namespace: "default".into(),
            group: "gateway".into(),
            network: "local".into(),
            place: ProxyLocality { cluster: "local".into(), locality: model::Locality::default() },
            addresses: bootstrap.unjoined.options.addresses.clone(),
        };
        let opened = open().map_err(StartError::Embedded)?;
        bootstrap.has_refusals = opened.has_refusals;
        let link = std::cell::RefCell::new(Some(opened.link));
        // There is one link; when it ends, the last configuration stays.
        let next = async move || {
            let taken = link.borrow_mut().take();
            match taken {
                Some(link) => Ok(link),
                None => std::future::pending().await,
            }
        };
        bootstrap.serve(me, Vec::new(), process::wait_for_stop(), next, async || {}).await
    })
}

/// A proxy that does not know yet who it is.
struct Bootstrap {
    unjoined: Unjoined,
    admin: Arc<Admin>,
    trigger: Arc<DrainTrigger>,
    gates: ReadyGates,
    manager: Rc<Supervisor>,
    /// See [`Opened::has_refusals`].
    has_refusals: bool,
}

/// What `/ready` waits for, beside a certificate.
struct ReadyGates {
    listening: Gate,
    configured: Gate,
    /// A proxy outside of a mesh joins nothing.
    joined: Option<Gate>,
}

impl Bootstrap {
    /// Hardens the process, then opens what tells about it.
    async fn build(options: Options, seams: Seams) -> Result<Self, StartError> {
        let hardened = process::harden();
        tracing::debug!(?hardened, "hardened the process");
        let ((trigger, drain), readiness) = (Drain::new(), Readiness::new());
        let (unjoined, trigger) = (Unjoined::new(options, seams, drain)?, Arc::new(trigger));
        let gates = ReadyGates {
            listening: readiness.gate("listening"),
            configured: readiness.gate("configured"),
            joined: (!unjoined.is_alone()).then(|| readiness.gate("joined")),
        };
        let manager = Supervisor::from_env().map_err(|cause| StartError::System("NOTIFY_SOCKET", cause))?;
        let manager = Rc::new(manager);
        let (told, followed) = (Rc::clone(&manager), readiness.clone());
        unjoined.tasks.spawn_local("service manager", async move { told.follow(&followed).await });
        let admin = admin::open(&unjoined, readiness, Arc::clone(&trigger)).await?;
        Ok(Self { unjoined, admin, trigger, gates, manager, has_refusals: false })
    }

    /// Configures, serves until told to stop, says goodbye, drains.
    async fn serve(
        self,
        me: LocalNode,
        dns: Vec<dns::Sockets>,
        stop: impl Future<Output = io::Result<process::Stop>>,
        open: impl AsyncFn() -> Result<Link, LinkError> + 'static,
        goodbye: impl AsyncFnOnce(),
    ) -> Result<(), StartError> {
        let Self { unjoined, admin, trigger, gates, manager, has_refusals } = self;
        let is_alone = unjoined.is_alone();
        let (nameservers, tasks, mut dice) =
            (unjoined.seams.nameservers.clone(), unjoined.tasks.clone(), unjoined.dice.clone());
        let (shared, queries) = unjoined.into_shared(me, gates.listening);
        let (refuse, refused) = oneshot::channel();
        let alone = is_alone.then(|| Alone::new(refuse, has_refusals));
        let captured = Arc::new(Captured::new(&shared.options.exclude_outbound_ip_ranges));
        let capture = CaptureNotice::new(Rc::clone(&manager), Arc::clone(&captured));
        let dice_of_stream = Pcg::new(dice.next_u64());
        let parts = StreamParts::new(&shared, queries, gates.configured, capture, alone, dice_of_stream);
        tasks.spawn_local("control stream", StreamClient::new(parts).run(open));
        tasks.spawn_local("certificate files", Arc::clone(shared.store.files()).watch());
        tasks.spawn_local("probes", Arc::clone(&shared.probing).run(asker(&shared)));
        admin::set_joined(&admin, &shared);
        let resolution = NameResolution::new(
            Arc::clone(&shared.store),
            Arc::clone(shared.name_cache.forwarder()),
            dns::has_route,
            Pcg::new(dice.next_u64()),
        );
        tasks.spawn_local("names", resolution.run());
        name_server::start(&shared, &tasks, captured, nameservers, dns);
        let workers = workers::start(&shared, dice.next_u64()).await?;
        let outcome = tokio::select! {
            stopped = stop => {
                stopped.map_err(|cause| StartError::System("signals", cause))?;
                tracing::info!("stopping: withdrawing, then draining");
                manager.stopping();
                goodbye().await;
                Ok(())
            }
            // An error of the channel: nothing was refused, or nothing can be, for a control plane drives this proxy.
            Ok(error) = refused => Err(error),
        };
        trigger.start();
        workers.end(shared.options.drain_timeout()).await;
        shared.observe.finish();
        outcome
    }
}

/// Asks the application where `flow` delivers what is called by name.
fn asker(shared: &Shared) -> Asker {
    let own = shared.me.addresses.first().copied().unwrap_or(Ipv4Addr::LOCALHOST.into());
    let mark = if shared.options.no_capture { Mark::Free } else { Mark::Captured };
    let exec = if shared.options.allow_exec_probes { ExecProbes::Allowed } else { ExecProbes::Refused };
    Asker::new(own, mark, exec)
}

/// The control thread's runtime: everything on this thread, and nothing left behind on return.
fn on_control_runtime(main: impl Future<Output = Result<(), StartError>>) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(BLOCKING_THREAD_IDLE)
        .build()
        .map_err(|cause| StartError::System("the control runtime", cause))?;
    let result = LocalSet::new().block_on(&runtime, main);
    // Not waited for: a name that is still being resolved must not keep a stopped proxy.
    runtime.shutdown_background();
    result
}

async fn withdraw(control: &Control, uid: &str) {
    let withdrawn = tokio::time::timeout(WITHDRAW_TIMEOUT, control.withdraw(uid, WITHDRAW_TIMEOUT)).await;
    match withdrawn {
        Ok(Ok(withdrawn)) => tracing::info!(
            acknowledged = withdrawn.acknowledged,
            outstanding = withdrawn.outstanding,
            "withdrawn: callers know"
        ),
        Ok(Err(error)) => tracing::warn!(%error, "could not withdraw; draining all the same"),
        Err(_) => tracing::warn!("the control plane did not confirm the withdrawal in time"),
    }
}
