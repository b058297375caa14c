//! One proxy from its first line to its last.

use super::control::Control;
use super::control_stream::{Alone, Parts, Stream};
use super::join::{self, Token};
use super::last_good::LastGood;
use super::reserved::Reserved;
use super::rotate::{self, Rotation};
use super::{Seams, StartError, workers};
use crate::admin::{Admin, Joined};
use crate::dns::{self, Dns, Forwarder};
use crate::listening::Listening;
use crate::lookup::Lookup;
use crate::lookup::on_demand::OnDemand;
use crate::observe::{AccessLog, Observe};
use crate::options::Options;
use crate::renewal::Renewal;
use crate::shared::Shared;
use crate::snapshot::{Me, Retries, Store};
use daemon::admin::{AdminHandler, AdminRequest};
use daemon::process;
use daemon::{Drain, DrainTrigger, Gate, Readiness, Tasks};
use decide::Dice;
use decide::balance::Place;
use decide::dice::Pcg;
use identity::Identity;
use model::address::{PORT_DNS, PORT_INBOUND, PORT_MESH, PORT_OUTBOUND};
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use xds::link::{Link, LinkError};

/// Longest wait for callers to learn that this proxy leaves; then it drains all the same.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(5);
/// What workers may take beyond the drain's own deadline before they are left behind.
const WORKER_GRACE: Duration = Duration::from_secs(2);
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
        let is_joined = bootstrap.readiness.gate("joined");
        // One from here to the end: a signal that came between two would be lost, and with it the drain.
        let mut stop = Box::pin(process::wait_for_stop());
        let joining = join::join(
            &address,
            &token,
            bootstrap.options.address,
            &bootstrap.identity,
            &*bootstrap.seams.clock,
            &mut bootstrap.dice,
        );
        let me = tokio::select! {
            joined = joining => joined.map_err(StartError::Join)?,
            stopped = &mut stop => {
                return stopped.map(drop).map_err(|cause| StartError::System("signals", cause));
            }
        };
        drop(token);
        is_joined.open();
        tracing::info!(uid = %me.uid, group = %format!("{}/{}", me.namespace, me.group), "joined the mesh");
        let control = Control::new(&address, me.place.cluster.clone(), bootstrap.identity.clone());
        bootstrap.tasks.spawn_local("renewal", rotate::renew(bootstrap.rotation(), control.clone()));
        let dns = if bootstrap.options.no_capture { Vec::new() } else { bind_dns().await? };
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
        let me = Me {
            uid: "local".into(),
            namespace: "default".into(),
            group: "gateway".into(),
            network: "local".into(),
            place: Place { cluster: "local".into(), locality: model::Locality::default() },
            addresses: bootstrap.options.address.into_iter().collect(),
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

/// What exists before the proxy knows who it is.
struct Bootstrap {
    options: Options,
    seams: Seams,
    dice: Pcg,
    observe: Arc<Observe>,
    identity: Identity,
    readiness: Readiness,
    trigger: Arc<DrainTrigger>,
    drain: Drain,
    admin: Arc<Admin>,
    tasks: Tasks,
    listening: Gate,
    configured: Gate,
    /// See [`Opened::has_refusals`].
    has_refusals: bool,
}

impl Bootstrap {
    /// Hardens the process, then opens what tells about it.
    async fn build(options: Options, seams: Seams) -> Result<Self, StartError> {
        let hardened = process::harden();
        tracing::debug!(?hardened, "hardened the process");
        let log = match &options.access_log {
            Some(path) => {
                Some(AccessLog::open(path).map_err(|cause| StartError::AccessLog(path.clone(), cause))?)
            }
            None => None,
        };
        let observe = Observe::new(Arc::clone(&seams.clock), log);
        let (trigger, drain) = Drain::new();
        let trigger = Arc::new(trigger);
        let readiness = Readiness::new();
        let wall = Arc::clone(&seams.clock);
        let identity = Identity::new(Vec::new()).with_wall(move || wall.wall());
        let admin = Arc::new(Admin {
            readiness: readiness.clone(),
            identity: identity.clone(),
            renewal: Arc::new(Renewal::default()),
            observe: Arc::clone(&observe),
            clock: Arc::clone(&seams.clock),
            trigger: Arc::clone(&trigger),
            drain: drain.clone(),
            started: seams.clock.now(),
            joined: OnceLock::new(),
        });
        let tasks = Tasks::new();
        open_admin(&options, &admin, &tasks).await?;
        Ok(Self {
            dice: Pcg::new(seams.seed),
            listening: readiness.gate("listening"),
            configured: readiness.gate("configured"),
            has_refusals: false,
            options,
            seams,
            observe,
            identity,
            readiness,
            trigger,
            drain,
            admin,
            tasks,
        })
    }

    fn rotation(&self) -> Rotation {
        Rotation {
            identity: self.identity.clone(),
            observe: Arc::clone(&self.observe),
            clock: Arc::clone(&self.seams.clock),
            renewal: Arc::clone(&self.admin.renewal),
            dice: Pcg::new(self.seams.seed ^ 1),
        }
    }

    /// Configures, serves until told to stop, says goodbye, drains.
    async fn serve(
        mut self,
        me: Me,
        dns: Vec<dns::Sockets>,
        stop: impl Future<Output = io::Result<process::Stop>>,
        open: impl AsyncFn() -> Result<Link, LinkError> + 'static,
        goodbye: impl AsyncFnOnce(),
    ) -> Result<(), StartError> {
        let store = Store::with_ports(&me, Reserved::new(&self.options.inherit_listener));
        let count = self.options.worker_count();
        let is_alone = self.options.control.is_none();
        let listening = Listening::new(count, self.listening);
        let listening = Arc::new(if is_alone { listening.outside_a_mesh() } else { listening });
        let (refuse, refused) = oneshot::channel();
        let (lookup, queries) = Lookup::new(Arc::clone(&store));
        let last_good = self.options.state_dir.as_deref().map(|directory| LastGood::new(directory, &me));
        let stream = Stream::new(Parts {
            me: me.clone(),
            store: Arc::clone(&store),
            on_demand: OnDemand::new(Arc::clone(&store), &lookup),
            queries,
            identity: self.identity.clone(),
            observe: Arc::clone(&self.observe),
            clock: Arc::clone(&self.seams.clock),
            last_good,
            configured: self.configured,
            listening: Arc::clone(&listening),
            alone: is_alone.then(|| Alone::new(refuse, self.has_refusals)),
            dice: Pcg::new(self.dice.next_u64()),
        });
        self.tasks.spawn_local("control stream", stream.run(open));
        let _ = self.admin.joined.set(Joined {
            me: me.clone(),
            store: Arc::clone(&store),
            listeners: own_listeners(&self.options),
            serving_since: self.seams.clock.now(),
        });
        let forward = Forwarder::new(self.seams.nameservers.clone());
        let answers = Dns::new(Arc::clone(&store), lookup.clone(), forward);
        for sockets in dns {
            self.tasks.spawn_local("dns", dns::serve(sockets, Arc::clone(&answers)));
        }
        let timeout = self.options.drain_timeout();
        let shared = Arc::new(Shared {
            options: self.options,
            me,
            store,
            lookup,
            identity: self.identity,
            observe: Arc::clone(&self.observe),
            drain: self.drain,
            listening,
            deliveries: Retries::default(),
            clock: Arc::clone(&self.seams.clock),
        });
        // On another thread: it waits for the workers, and they may need this one.
        let seed = self.dice.next_u64();
        let workers = tokio::task::spawn_blocking(move || workers::spawn(count, &shared, seed));
        let workers = workers.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let workers = workers.map_err(|cause| StartError::System("the workers", cause))?;
        let refused = async {
            match refused.await {
                Ok(error) => error,
                // Nothing was, or nothing can be: a control plane drives this proxy.
                Err(_) => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            stopped = stop => {
                stopped.map_err(|cause| StartError::System("signals", cause))?;
                tracing::info!("stopping: withdrawing, then draining");
                goodbye().await;
                Ok(())
            }
            error = refused => Err(error),
        };
        self.trigger.start();
        let joined = tokio::task::spawn_blocking(move || workers.join());
        if tokio::time::timeout(timeout + WORKER_GRACE, joined).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        self.observe.finish();
        outcome
    }
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

async fn open_admin(options: &Options, admin: &Arc<Admin>, tasks: &Tasks) -> Result<(), StartError> {
    if options.admin_port != 0 {
        let admin = Arc::clone(admin);
        let handler: AdminHandler = Arc::new(move |request: &AdminRequest<'_>| admin.answer(request));
        serve_admin((Ipv4Addr::LOCALHOST, options.admin_port).into(), handler, tasks).await?;
    }
    if options.metrics_port != 0 {
        let admin = Arc::clone(admin);
        let handler: AdminHandler =
            Arc::new(move |request: &AdminRequest<'_>| admin.answer_metrics(request).into());
        serve_admin((options.metrics_address, options.metrics_port).into(), handler, tasks).await?;
    }
    Ok(())
}

async fn serve_admin(address: SocketAddr, handler: AdminHandler, tasks: &Tasks) -> Result<(), StartError> {
    let bound = tokio::net::TcpListener::bind(address).await;
    let listener = bound.map_err(|cause| StartError::Bind(address, cause))?;
    // Never drained: what tells about a stopping proxy is the last to go.
    let (_, drain) = Drain::new();
    tasks.spawn_local("admin", async move {
        if let Err(error) = daemon::admin::serve(listener, handler, drain).await {
            tracing::error!(%error, %address, "the admin port ended");
        }
    });
    Ok(())
}

/// On loopback in both families: a wildcard would answer captured queries from the wrong source address.
async fn bind_dns() -> Result<Vec<dns::Sockets>, StartError> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DNS));
    let mut all = vec![dns::bind(v4).await.map_err(|cause| StartError::Bind(v4, cause))?];
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, PORT_DNS));
    match dns::bind(v6).await {
        Ok(sockets) => all.push(sockets),
        // A host without IPv6 captures none of it.
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            tracing::debug!(%error, address = %v6, "no DNS over IPv6");
        }
        Err(cause) => return Err(StartError::Bind(v6, cause)),
    }
    Ok(all)
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

fn own_listeners(options: &Options) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    if options.admin_port != 0 {
        all.push((format!("127.0.0.1:{}", options.admin_port), "admin"));
    }
    if options.metrics_port != 0 {
        all.push((format!("{}:{}", options.metrics_address, options.metrics_port), "metrics"));
    }
    if !options.no_capture {
        all.push((format!("0.0.0.0:{PORT_OUTBOUND}"), "outbound"));
        all.push((format!("0.0.0.0:{PORT_INBOUND}"), "inbound"));
        all.push((format!("127.0.0.1:{PORT_DNS}"), "dns"));
    }
    if options.control.is_some() {
        all.push((format!("0.0.0.0:{PORT_MESH}"), "mesh"));
    }
    all
}
