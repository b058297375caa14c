//! Where a program listens: at an address of TCP, or on a Unix socket. Only the name of it; `daemon::local` listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What stands before the path of a Unix socket.
pub const UNIX_SCHEME: &str = "unix:";
/// Longest path of a Unix socket, in bytes: Linux has 107, a few of which are for the name before it is in place.
pub const SOCKET_PATH_BYTES_MAX: usize = 100;

/// `IP:PORT`, or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket with an absolute path.
    Unix(PathBuf),
}

impl BindAddress {
    /// Whether it is an address of TCP that only this machine (or network namespace) reaches.
    pub fn is_loopback(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.ip().to_canonical().is_loopback())
    }
}

impl FromStr for BindAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(UNIX_SCHEME) else {
            let address = text.parse().map_err(|_| format!("`{text}` is neither IP:PORT nor unix:PATH"))?;
            return Ok(Self::Tcp(address));
        };
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(format!("`{text}`: the path of a Unix socket is absolute and names a file"));
        }
        if path.len() > SOCKET_PATH_BYTES_MAX {
            return Err(format!(
                "`{text}`: the path of a Unix socket has at most {SOCKET_PATH_BYTES_MAX} bytes, this one {}",
                path.len()
            ));
        }
        Ok(Self::Unix(path.into()))
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_SCHEME}{}", path.display()),
        }
    }
}

impl From<SocketAddr> for BindAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

#[cfg(test)]
mod tests;
