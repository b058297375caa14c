//! The Unix socket where a root is asked on its own host.
//!
//! For its own user alone (0600), unless others may ask too: then the kernel's word on who calls decides alone.

use crate::grants::Grants;
use crate::limits::{CONNECTIONS_MAX, SigningRate, serve_within, turn_away};
use crate::local::{AllowedUsers, LocalAsker};
use ca::issuer::serve::{Granting, Holder};
use daemon::{Drain, Tasks};
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Rest after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Mode of a socket for this user alone.
const OWN_MODE: u32 = 0o600;
/// Mode of one where peer credentials decide.
const SHARED_MODE: u32 = 0o666;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Its directory.
    #[error("make the directory of {path}")]
    Directory {
        /// Of the socket.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Somebody answers there.
    #[error("another process listens on {0}; stop it, or give another path with --listen")]
    InUse(PathBuf),
    /// Something else lies there.
    #[error("{0} is there and is no socket; remove it, or give another path with --listen")]
    NotSocket(PathBuf),
    /// The rest.
    #[error("listen on {path}")]
    Listen {
        /// Of the socket.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// What is behind a socket.
#[derive(Clone)]
pub(crate) struct LocalDoor {
    pub(crate) holder: Arc<Holder>,
    pub(crate) allowed: AllowedUsers,
    pub(crate) grants: Arc<Grants>,
}

/// A socket that is removed with its owner.
pub(crate) struct BoundSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl BoundSocket {
    /// Binds it; a socket that a dead process left is replaced.
    pub(crate) fn bind(path: &Path, is_shared: bool) -> Result<Self, SocketError> {
        let listen = |cause| SocketError::Listen { path: path.into(), cause };
        if let Some(directory) = path.parent() {
            let mode = if is_shared { 0o711 } else { 0o700 };
            let made = DirBuilder::new().recursive(true).mode(mode).create(directory);
            made.map_err(|cause| SocketError::Directory { path: path.into(), cause })?;
        }
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotSocket(path.into())),
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(SocketError::InUse(path.into()));
            }
            Ok(_) => std::fs::remove_file(path).map_err(listen)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(listen(error)),
        }
        // Between these two lines others may connect if the umask lets them; they are refused by their credentials.
        let listener = UnixListener::bind(path).map_err(listen)?;
        let bound = Self { listener, path: path.into() };
        let mode = if is_shared { SHARED_MODE } else { OWN_MODE };
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(listen)?;
        Ok(bound)
    }

    /// Answers until the drain.
    pub(crate) async fn serve(self, door: LocalDoor, tasks: Tasks, drain: Drain) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let rate = Arc::new(SigningRate::new(Instant::now()));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = drain.started() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
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
