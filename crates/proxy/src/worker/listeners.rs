//! Which sockets a worker listens on: capture and mesh ports from its start, a gateway's as configuration
//! changes.

use crate::accept::{Reader, accept, any, inherit, listen};
use crate::flow::{self, inbound};
use crate::worker::Worker;
use daemon::{Drain, DrainTrigger, Tasks};
use model::address::{PORT_INBOUND, PORT_MESH, PORT_OUTBOUND};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpListener;

/// After a gateway's port could not be opened, it is tried again after so long.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// The tasks of one worker's sockets, apart because they are drained one after the other.
pub(super) struct Listeners {
    /// Accept from callers.
    pub(super) inbound_accepting: Tasks,
    /// Serve callers.
    pub(super) inbound: Tasks,
    /// Accept from the own application.
    pub(super) outbound_accepting: Tasks,
    /// Serve the own application.
    pub(super) outbound: Tasks,
}

/// Opens what this proxy listens on. Captured traffic of the application is taken until `outbound_drain`,
/// everything else until the proxy's own drain.
pub(super) fn open(worker: &Rc<Worker>, outbound_drain: &Drain) -> io::Result<Listeners> {
    let tasks = Listeners {
        inbound_accepting: Tasks::new(),
        inbound: Tasks::new(),
        outbound_accepting: Tasks::new(),
        outbound: Tasks::new(),
    };
    let drain = worker.shared.drain.clone();
    if !worker.shared.options.no_capture {
        let outbound = listen_at(any(PORT_OUTBOUND))?;
        let inbound = listen_at(any(PORT_INBOUND))?;
        let (own, connections, stop) = (Rc::clone(worker), tasks.outbound.clone(), outbound_drain.clone());
        tasks.outbound_accepting.spawn_local("accept outbound", async move {
            accept(outbound, Reader::Anyone, stop.started(), |stream, peer| {
                connections
                    .spawn_local("outbound", flow::outbound(Rc::clone(&own), stream, peer, stop.clone()));
            })
            .await;
        });
        let (own, stop) = (Rc::clone(worker), drain.clone());
        tasks.inbound_accepting.spawn_local("accept plaintext", async move {
            accept(inbound, Reader::Anyone, stop.started(), |stream, peer| {
                inbound::plaintext(&own, peer);
                drop(stream);
            })
            .await;
        });
    }
    // `leno gateway` is in no mesh: nobody could prove anything to it.
    if worker.shared.identity.svid().is_some() {
        let listener = listen_at(any(PORT_MESH))?;
        let (own, connections, stop) = (Rc::clone(worker), tasks.inbound.clone(), drain.clone());
        tasks.inbound_accepting.spawn_local("accept mesh", async move {
            accept(listener, Reader::Proxy, stop.started(), |stream, peer| {
                connections.spawn_local("mesh", inbound::mesh(Rc::clone(&own), stream, peer, stop.clone()));
            })
            .await;
        });
    }
    open_gateway(worker, &tasks, drain);
    Ok(tasks)
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    listen(address).map_err(|cause| io::Error::new(cause.kind(), format!("listen on {address}: {cause}")))
}

/// A gateway listener: port as configured, and the one address that it is bound to.
type Place = (u16, Option<IpAddr>);

/// Follows the configuration's gateway listeners. Those known already are open when this returns.
fn open_gateway(worker: &Rc<Worker>, tasks: &Listeners, drain: Drain) {
    let mut gateway = Gateway {
        worker: Rc::clone(worker),
        accepting: tasks.inbound_accepting.clone(),
        connections: tasks.inbound.clone(),
        open: HashMap::new(),
    };
    let mut moves = worker.shared.store.moves();
    let mut complete = gateway.follow();
    tasks.inbound_accepting.spawn_local("follow gateway", async move {
        loop {
            let wait = if complete.is_ok() { Duration::MAX } else { REOPEN_AFTER };
            tokio::select! {
                () = drain.started() => break,
                moved = moves.changed() => if moved.is_err() { break },
                () = tokio::time::sleep(wait) => {}
            }
            complete = gateway.follow();
        }
        // What ends with its listener ends with the proxy.
        gateway.open.values().for_each(DrainTrigger::start);
    });
}

struct Gateway {
    worker: Rc<Worker>,
    accepting: Tasks,
    connections: Tasks,
    /// Started when the listener is gone, or when the proxy stops.
    open: HashMap<Place, DrainTrigger>,
}

impl Gateway {
    /// Opens what is new, closes what is gone; connections that came in there are drained.
    fn follow(&mut self) -> Result<(), io::Error> {
        let snapshot = self.worker.snapshot();
        let listeners = snapshot.gateway.as_ref().map_or(&[][..], |gateway| &gateway.gateway.listeners);
        let wanted: Vec<Place> = listeners.iter().map(|listener| (listener.port, listener.address)).collect();
        self.open.retain(|place, stop| {
            let stays = wanted.contains(place);
            if !stays {
                stop.start();
            }
            stays
        });
        let mut complete = Ok(());
        for place in wanted {
            if self.open.contains_key(&place) {
                continue;
            }
            match self.bind(place) {
                Ok(listener) => self.start(place, listener),
                Err(error) => {
                    tracing::error!(port = place.0, %error, "gateway listener");
                    complete = Err(error);
                }
            }
        }
        complete
    }

    fn bind(&self, (port, address): Place) -> io::Result<TcpListener> {
        let handed_in = self.worker.shared.options.inherit_listener.iter().find(|handed| handed.port == port);
        match (handed_in, address) {
            (Some(handed), _) => inherit(handed.fd),
            (None, Some(ip)) => listen(SocketAddr::new(ip, port)),
            (None, None) => listen(any(port)),
        }
    }

    fn start(&mut self, place: Place, listener: TcpListener) {
        let (trigger, stop) = Drain::new();
        self.open.insert(place, trigger);
        let (worker, connections) = (Rc::clone(&self.worker), self.connections.clone());
        self.accepting.spawn_local("accept gateway", async move {
            accept(listener, Reader::Anyone, stop.started(), |stream, peer| {
                let serving = flow::gateway(Rc::clone(&worker), stream, peer, place.0, stop.clone());
                connections.spawn_local("gateway", serving);
            })
            .await;
        });
    }
}
