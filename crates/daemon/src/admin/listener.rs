//! Where operators come in: a port, or a Unix socket, on which the kernel tells who it is.

use super::caller::Caller;
use crate::local::{DetachedListener, LocalListener};
use crate::users::LocalUser;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Where operators come in.
pub enum AdminListener {
    /// A port.
    Tcp(TcpListener),
    /// A Unix socket: for its owner and root alone.
    Local(LocalListener),
}

impl From<TcpListener> for AdminListener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<LocalListener> for AdminListener {
    fn from(listener: LocalListener) -> Self {
        Self::Local(listener)
    }
}

/// An [`AdminListener`] of no runtime.
pub(super) enum DetachedAdmin {
    Tcp(std::net::TcpListener),
    Local(DetachedListener),
}

impl DetachedAdmin {
    /// Of the current runtime from here on.
    pub(super) fn attach(self) -> io::Result<AdminListener> {
        Ok(match self {
            Self::Tcp(listener) => AdminListener::Tcp(TcpListener::from_std(listener)?),
            Self::Local(listener) => AdminListener::Local(listener.attach()?),
        })
    }
}

impl AdminListener {
    pub(super) fn detach(self) -> io::Result<DetachedAdmin> {
        Ok(match self {
            Self::Tcp(listener) => DetachedAdmin::Tcp(listener.into_std()?),
            Self::Local(listener) => DetachedAdmin::Local(listener.detach()?),
        })
    }

    /// The address that web pages could be brought to call, if there is one.
    pub(super) fn bound(&self) -> io::Result<Option<IpAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| Some(address.ip())),
            Self::Local(_) => Ok(None),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<AdminStream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| AdminStream::Tcp(stream)),
            Self::Local(listener) => listener.accept().await.map(AdminStream::Local),
        }
    }
}

/// An operator's connection.
pub(super) enum AdminStream {
    Tcp(TcpStream),
    Local(UnixStream),
}

impl AdminStream {
    pub(super) fn caller(&self) -> AdminCaller {
        match self {
            Self::Tcp(stream) => AdminCaller::Asked(Caller::of(stream).ok().map(Arc::new)),
            Self::Local(stream) => {
                AdminCaller::Known(LocalUser::of(stream).ok().flatten().map(|user| user.uid))
            }
        }
    }
}

/// Whose connection it is; `None` in either: it cannot be told.
#[derive(Clone)]
pub(super) enum AdminCaller {
    /// To be looked up, and that costs something.
    Asked(Option<Arc<Caller>>),
    /// The user's number.
    Known(Option<u32>),
}
