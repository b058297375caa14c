//! Unix sockets that a process answers on.
//!
//! The file is for its owner alone, or for one group too, whatever the umask says. One that a dead process left is
//! replaced; one that somebody answers on, and what is no socket, is not. It goes with its owner. Who is at the other
//! end: `users`.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

/// Behind the name of a socket that is not in place yet.
const NEW: &str = ".new";

/// Who may open a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketAccess {
    /// Its owner, and root (0600).
    Owner,
    /// The members of the group with this number too (0660).
    Group(u32),
    /// Every user of this machine (0666): who may do what is up to whoever answers.
    Everybody,
}

impl SocketAccess {
    fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group(_) => 0o660,
            Self::Everybody => 0o666,
        }
    }

    /// Of a directory that is made for it: what others can reach there is up to the files in it.
    fn directory_mode(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Group(_) | Self::Everybody => 0o711,
        }
    }
}

/// Why nobody listens.
#[derive(Debug, Error)]
pub enum LocalListenError {
    /// Its directory.
    #[error("make the directory of {path}")]
    Directory {
        /// Of the socket.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Somebody answers there.
    #[error("a process listens on {0} already; stop it, or name another path")]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{0} is there and is no socket; remove it, or name another path")]
    NotSocket(PathBuf),
    /// The group was not taken.
    #[error("give {path} to group {gid}; be root or a member of that group, or name another group")]
    Group {
        /// Of the socket.
        path: PathBuf,
        /// The number of the group.
        gid: u32,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The rest.
    #[error("listen on {path}; its directory must be there and this process's to write in")]
    Listen {
        /// Of the socket.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// A Unix socket that is listened on.
#[derive(Debug)]
pub struct LocalListener {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket, removed with its owner.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: another process may have put its own there.
    made: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| place(&found) == self.made) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn place(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

impl LocalListener {
    /// Listens on `path`; makes its directory when there is none.
    ///
    /// # Errors
    /// See [`LocalListenError`].
    pub async fn bind(path: &Path, access: SocketAccess) -> Result<Self, LocalListenError> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let made = DirBuilder::new().recursive(true).mode(access.directory_mode()).create(directory);
        made.map_err(|cause| LocalListenError::Directory { path: path.into(), cause })?;
        warn_of_closed(directory, access);
        check_free(path).await?;
        // Made beside and renamed: nobody connects before it is closed to others, and what is dead is replaced at once.
        let mut new = path.as_os_str().to_owned();
        new.push(NEW);
        let listen = |cause| LocalListenError::Listen { path: path.into(), cause };
        match std::fs::remove_file(&new) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(listen(cause)),
            _ => {}
        }
        let listener = UnixListener::bind(&new).map_err(listen)?;
        let found = std::fs::symlink_metadata(&new).map_err(listen)?;
        let mut file = SocketFile { path: new.into(), made: place(&found) };
        std::fs::set_permissions(&file.path, Permissions::from_mode(access.mode())).map_err(listen)?;
        if let SocketAccess::Group(gid) = access {
            let given = std::os::unix::fs::chown(&file.path, None, Some(gid));
            given.map_err(|cause| LocalListenError::Group { path: path.into(), gid, cause })?;
        }
        std::fs::rename(&file.path, path).map_err(listen)?;
        file.path = path.into();
        Ok(Self { listener, file })
    }

    /// The same without a runtime, to be taken to another one.
    ///
    /// # Errors
    /// As of the system call.
    pub fn detach(self) -> io::Result<DetachedListener> {
        Ok(DetachedListener { listener: self.listener.into_std()?, file: self.file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The next connection.
    ///
    /// # Errors
    /// As of the system call.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

/// A [`LocalListener`] of no runtime.
#[derive(Debug)]
pub struct DetachedListener {
    listener: std::os::unix::net::UnixListener,
    file: SocketFile,
}

impl DetachedListener {
    /// Of the current runtime from here on.
    ///
    /// # Errors
    /// As of the system call.
    pub fn attach(self) -> io::Result<LocalListener> {
        Ok(LocalListener { listener: UnixListener::from_std(self.listener)?, file: self.file })
    }
}

/// A directory that was there before may keep out those whom the socket would let in.
fn warn_of_closed(directory: &Path, access: SocketAccess) {
    let Ok(found) = std::fs::metadata(directory) else { return };
    let is_open = match access {
        SocketAccess::Owner => true,
        SocketAccess::Group(gid) if found.gid() == gid => found.mode() & 0o010 != 0,
        SocketAccess::Group(_) | SocketAccess::Everybody => found.mode() & 0o001 != 0,
    };
    if !is_open {
        let directory = directory.display();
        tracing::warn!(%directory, "others may open the socket, but not its directory: chmod o+x it");
    }
}

/// Nothing is there, or the socket of a dead process.
async fn check_free(path: &Path) -> Result<(), LocalListenError> {
    let listen = |cause| LocalListenError::Listen { path: path.into(), cause };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(LocalListenError::NotSocket(path.into())),
        Ok(_) => {}
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(listen(cause)),
    }
    match UnixStream::connect(path).await {
        // A full queue is somebody's.
        Ok(_) => Err(LocalListenError::InUse(path.into())),
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Err(LocalListenError::InUse(path.into())),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(())
        }
        Err(cause) => Err(listen(cause)),
    }
}

#[cfg(test)]
mod tests;
