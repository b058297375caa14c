//! Which sockets a worker listens on: capture and mesh ports from its start, a gateway's as configuration
//! changes.

use crate::accept::{PeerKind, accept, inherit, listen_all, listen_datagrams, listen_everywhere};
use crate::flow;
use crate::flow::inbound::{self, plaintext};
use crate::listening::ListenPlace;
use crate::worker::Worker;
use daemon::{Drain, DrainTrigger, Tasks};
use model::address::{PORT_INBOUND, PORT_MESH, PORT_OUTBOUND};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
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
    /// Accept from the local application.
    pub(super) outbound_accepting: Tasks,
    /// Serve the local application.
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
        for listener in listen_everywhere(PORT_OUTBOUND)? {
            let (own, connections, stop) =
                (Rc::clone(worker), tasks.outbound.clone(), outbound_drain.clone());
            tasks.outbound_accepting.spawn_local("accept outbound", async move {
                accept(listener, PeerKind::Anyone, stop.started(), |stream, peer| {
                    connections
                        .spawn_local("outbound", flow::outbound(Rc::clone(&own), stream, peer, stop.clone()));
                })
                .await;
            });
        }
        for listener in listen_everywhere(PORT_INBOUND)? {
            let (own, connections, stop) = (Rc::clone(worker), tasks.inbound.clone(), drain.clone());
            tasks.inbound_accepting.spawn_local("accept plaintext", async move {
                accept(listener, PeerKind::Anyone, stop.started(), |stream, peer| {
                    if let Some(to) = plaintext::admit(&own, &stream, peer) {
                        let serving = plaintext::serve(Rc::clone(&own), stream, peer, to, stop.clone());
                        connections.spawn_local("plaintext", serving);
                    }
                })
                .await;
            });
        }
    }
    // `leno gateway` is in no mesh: nobody could prove anything to it.
    if worker.shared.identity.svid().is_some() {
        for listener in listen_everywhere(PORT_MESH)? {
            let (own, connections, stop) = (Rc::clone(worker), tasks.inbound.clone(), drain.clone());
            tasks.inbound_accepting.spawn_local("accept mesh", async move {
                accept(listener, PeerKind::Proxy, stop.started(), |stream, peer| {
                    connections
                        .spawn_local("mesh", inbound::mesh(Rc::clone(&own), stream, peer, stop.clone()));
                })
                .await;
            });
        }
    }
    open_gateway(worker, &tasks, drain);
    Ok(tasks)
}

/// Follows the configuration's gateway listeners. Those known already are open when this returns.
fn open_gateway(worker: &Rc<Worker>, tasks: &Listeners, drain: Drain) {
    let mut gateway = Gateway {
        worker: Rc::clone(worker),
        accepting: tasks.inbound_accepting.clone(),
        connections: tasks.inbound.clone(),
        open: HashMap::new(),
        told: None,
    };
    let mut moves = worker.shared.store.changes();
    let mut outcome = gateway.follow();
    tasks.inbound_accepting.spawn_local("follow gateway", async move {
        loop {
            let wait = if outcome == Followed::Whole { Duration::MAX } else { REOPEN_AFTER };
            tokio::select! {
                () = drain.started() => break,
                moved = moves.changed() => if moved.is_err() { break },
                () = tokio::time::sleep(wait) => {}
            }
            outcome = gateway.follow();
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
    open: HashMap<ListenPlace, DrainTrigger>,
    /// The last error that was logged.
    told: Option<String>,
}

/// Whether all is open that the configuration has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    Whole,
    InPart,
}

impl Gateway {
    /// Opens what is new, then closes what is gone; connections that came in there are drained. What cannot be opened
    /// is not in the configuration (`snapshot::ports`); should it happen all the same, nothing is closed.
    fn follow(&mut self) -> Followed {
        let snapshot = self.worker.snapshot();
        let wanted = snapshot.gateway.as_ref().map(|gateway| gateway.listen_places()).unwrap_or_default();
        let mut failed = None;
        for address in &wanted {
            if self.open.contains_key(address) {
                continue;
            }
            match self.open(*address) {
                Ok(()) => {}
                Err(error) => failed = Some(format!("listen on {address}: {error}")),
            }
        }
        if failed.is_some() {
            if failed != self.told {
                tracing::error!(error = failed, "gateway listener");
                self.told = failed;
            }
            return Followed::InPart;
        }
        self.told = None;
        let listening = &self.worker.shared.listening;
        self.open.retain(|address, stop| {
            let stays = wanted.contains(address);
            if !stays {
                stop.start();
                listening.closed(*address);
            }
            stays
        });
        Followed::Whole
    }

    fn open(&mut self, place: ListenPlace) -> io::Result<()> {
        match place {
            ListenPlace::Tcp(address) => {
                let listeners = self.bind(address)?;
                self.start(address, listeners);
            }
            ListenPlace::Udp(address) => {
                let sockets = listen_datagrams(address)?;
                let stop = self.opened(place);
                for socket in sockets {
                    let (worker, sessions) = (Rc::clone(&self.worker), self.connections.clone());
                    let serving = flow::udp::serve(worker, socket, address, sessions, stop.clone());
                    self.accepting.spawn_local("receive gateway", serving);
                }
            }
        }
        Ok(())
    }

    /// Notes that a place is open. What is returned starts when it is no longer.
    fn opened(&mut self, place: ListenPlace) -> Drain {
        let (trigger, stop) = Drain::new();
        self.open.insert(place, trigger);
        self.worker.shared.listening.opened(place);
        stop
    }

    fn bind(&self, address: SocketAddr) -> io::Result<Vec<TcpListener>> {
        let inherited = &self.worker.shared.options.inherit_listener;
        match inherited.iter().find(|handed| handed.port == address.port()) {
            Some(handed) => Ok(vec![inherit(handed.fd)?]),
            None => listen_all(address),
        }
    }

    fn start(&mut self, address: SocketAddr, listeners: Vec<TcpListener>) {
        let stop = self.opened(ListenPlace::Tcp(address));
        for listener in listeners {
            let (worker, connections, stop) =
                (Rc::clone(&self.worker), self.connections.clone(), stop.clone());
            self.accepting.spawn_local("accept gateway", async move {
                accept(listener, PeerKind::Anyone, stop.started(), |stream, peer| {
                    let serving = flow::gateway(Rc::clone(&worker), stream, peer, address, stop.clone());
                    connections.spawn_local("gateway", serving);
                })
                .await;
            });
        }
    }
}
