//! The Unix socket where a root is asked on its own host.
//!
//! For its own user alone (0600), unless others may ask too: then the kernel's word on who calls decides alone.

use crate::grants::Grants;
use crate::limits::{CONNECTIONS_MAX, SigningRate, serve_within, turn_away};
use crate::local::{AllowedUsers, LocalAsker};
use ca::issuer::serve::{Granting, Holder};
use daemon::local::{LocalListenError, LocalListener, SocketAccess};
use daemon::{Drain, Tasks};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

/// Rest after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is behind a socket.
#[derive(Clone)]
pub(crate) struct LocalDoor {
    pub(crate) holder: Arc<Holder>,
    pub(crate) allowed: AllowedUsers,
    pub(crate) grants: Arc<Grants>,
}

/// A socket that is listened on.
pub(crate) struct BoundSocket(LocalListener);

impl BoundSocket {
    /// For this user alone, or for all whom the credentials then tell apart.
    pub(crate) async fn bind(path: &Path, is_shared: bool) -> Result<Self, LocalListenError> {
        let access = if is_shared { SocketAccess::Everybody } else { SocketAccess::Owner };
        LocalListener::bind(path, access).await.map(Self)
    }

    /// Answers until the drain.
    pub(crate) async fn serve(self, door: LocalDoor, tasks: Tasks, drain: Drain) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let rate = Arc::new(SigningRate::new(Instant::now()));
        loop {
            let accepted = tokio::select! {
                accepted = self.0.accept() => accepted,
                () = drain.started() => return,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "no connection accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                tracing::warn!(connections = CONNECTIONS_MAX, "too many connections; one is turned away");
                turn_away(stream).await;
                continue;
            };
            let (door, rate) = (door.clone(), rate.clone());
            tasks.spawn("asker", async move {
                answer(stream, door, rate).await;
                drop(slot);
            });
        }
    }
}

async fn answer(mut stream: UnixStream, door: LocalDoor, rate: Arc<SigningRate<u32>>) {
    let LocalDoor { holder, allowed, grants } = door;
    let root = holder.root.clone();
    let asker = match stream.peer_cred() {
        Ok(peer) => LocalAsker { uid: peer.uid(), pid: peer.pid(), allowed, root, grants, rate },
        Err(error) => {
            tracing::warn!(%error, "who asks cannot be told; closed");
            return;
        }
    };
    if let Err(error) = serve_within(&mut stream, &holder, &asker).await {
        tracing::warn!(who = asker.who(), %error, "a connection ended");
    }
}

#[cfg(test)]
mod tests;
