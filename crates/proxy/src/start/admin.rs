//! The ports that tell about a proxy: admin, and metrics.

use super::StartError;
use super::unjoined::Unjoined;
use crate::admin::{Admin, Joined};
use crate::options::Options;
use crate::renewal::Renewal;
use crate::shared::Shared;
use daemon::admin::{AdminHandler, AdminListener, AdminRequest};
use daemon::local::{LocalListener, SocketAccess};
use daemon::{Drain, DrainTrigger, Readiness, Tasks};
use model::BindAddress;
use model::address::{PORT_DNS, PORT_INBOUND, PORT_MESH, PORT_OUTBOUND};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// Opens them. They answer from here on, and know more once the proxy has joined.
pub(super) async fn open(
    unjoined: &Unjoined,
    readiness: Readiness,
    trigger: Arc<DrainTrigger>,
) -> Result<Arc<Admin>, StartError> {
    let admin = Arc::new(Admin {
        readiness,
        identity: unjoined.identity.clone(),
        renewal: Arc::new(Renewal::default()),
        observe: Arc::clone(&unjoined.observe),
        probing: Arc::clone(&unjoined.probing),
        clock: Arc::clone(&unjoined.seams.clock),
        trigger,
        drain: unjoined.drain.clone(),
        started: unjoined.seams.clock.now(),
        joined: OnceLock::new(),
    });
    open_ports(&unjoined.options, &admin, &unjoined.tasks).await?;
    Ok(admin)
}

/// Tells what is known of a proxy that has joined.
pub(super) fn set_joined(admin: &Admin, shared: &Shared) {
    let _ = admin.joined.set(Joined {
        me: shared.me.clone(),
        store: Arc::clone(&shared.store),
        listeners: own_listeners(&shared.options),
        serving_since: shared.clock.now(),
    });
}

async fn open_ports(options: &Options, admin: &Arc<Admin>, tasks: &Tasks) -> Result<(), StartError> {
    if let Some(at) = options.admin_address() {
        let admin = Arc::clone(admin);
        let handler: AdminHandler = Arc::new(move |request: &AdminRequest<'_>| admin.answer(request));
        let listener = match &at {
            BindAddress::Tcp(address) if !at.is_loopback() => return Err(StartError::AdminAddress(*address)),
            BindAddress::Tcp(address) => bind(*address).await?,
            BindAddress::Unix(path) => {
                let listener = LocalListener::bind(path, SocketAccess::Owner).await;
                listener.map_err(StartError::AdminSocket)?.into()
            }
        };
        serve_admin(listener, at, handler, tasks);
    }
    if options.metrics_port != 0 {
        let admin = Arc::clone(admin);
        let handler: AdminHandler =
            Arc::new(move |request: &AdminRequest<'_>| admin.answer_metrics(request).into());
        let address = SocketAddr::from((options.metrics_address, options.metrics_port));
        serve_admin(bind(address).await?, address.into(), handler, tasks);
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<AdminListener, StartError> {
    let bound = tokio::net::TcpListener::bind(address).await;
    bound.map(AdminListener::from).map_err(|cause| StartError::Bind(address, cause))
}

fn serve_admin(listener: AdminListener, address: BindAddress, handler: AdminHandler, tasks: &Tasks) {
    // Never drained: what tells about a stopping proxy is the last to go.
    let (_, drain) = Drain::new();
    tasks.spawn_local("admin", async move {
        if let Err(error) = daemon::admin::serve(listener, handler, drain).await {
            tracing::error!(%error, %address, "the admin port ended");
        }
    });
}

fn own_listeners(options: &Options) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    if let Some(at) = options.admin_address() {
        all.push((at.to_string(), "admin"));
    }
    if options.metrics_port != 0 {
        all.push((SocketAddr::new(options.metrics_address, options.metrics_port).to_string(), "metrics"));
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
