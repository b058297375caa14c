//! Tells a service manager how the process is (`sd_notify(3)`): ready, stopping, and alive where a watchdog asks.
//!
//! Without `NOTIFY_SOCKET` nothing is sent. Nobody who does not read can hold the process up: a message that finds no
//! room is dropped.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::Readiness;

/// Where messages go, in the words of systemd: a path, or `@` and an abstract name.
const SOCKET: &str = "NOTIFY_SOCKET";
/// How often the watchdog wants to hear of us, in microseconds.
const WATCHDOG: &str = "WATCHDOG_USEC";
/// Which process it watches, if only one.
const WATCHDOG_PROCESS: &str = "WATCHDOG_PID";

/// The service manager that started this process, if it wants to be told.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Half of what the watchdog allows.
    alive_every: Option<Duration>,
}

impl Supervisor {
    /// As the environment says.
    ///
    /// # Errors
    /// What the environment says has no reading, or no socket can be had.
    pub fn from_env() -> io::Result<Supervisor> {
        let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let own = std::process::id().to_string();
        let is_for_us = text(WATCHDOG_PROCESS).is_none_or(|process| process == own);
        let watchdog = if is_for_us { text(WATCHDOG) } else { None };
        Supervisor::new(text(SOCKET).as_deref(), watchdog.as_deref())
    }

    /// Nobody is told anything.
    pub fn silent() -> Supervisor {
        Supervisor { socket: None, alive_every: None }
    }

    fn new(socket: Option<&str>, watchdog: Option<&str>) -> io::Result<Supervisor> {
        let invalid = |name: &str, value: &str| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{name} has no reading: {value}"))
        };
        let Some(place) = socket else { return Ok(Supervisor::silent()) };
        let address = match place.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None if place.starts_with('/') => SocketAddr::from_pathname(place),
            None => Err(invalid(SOCKET, place)),
        }?;
        let datagram = UnixDatagram::unbound()?;
        datagram.set_nonblocking(true)?;
        let alive_every = match watchdog {
            Some(text) => {
                let microseconds =
                    text.parse().ok().filter(|n| *n > 1).ok_or_else(|| invalid(WATCHDOG, text))?;
                Some(Duration::from_micros(microseconds) / 2)
            }
            None => None,
        };
        Ok(Supervisor { socket: Some((datagram, address)), alive_every })
    }

    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!(%error, message, "the service manager was not told");
        }
    }

    /// The process is ready.
    pub fn ready(&self) {
        self.tell("READY=1\nSTATUS=ready");
    }

    /// The process drains and will end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells something that is between this program and its own supervisor: others skip names that begin with `X_`. `value`
    /// is of one line.
    ///
    /// # Errors
    /// It was not taken.
    pub fn extension(&self, name: &str, value: &str) -> io::Result<()> {
        debug_assert!(name.starts_with("X_") && !value.contains('\n'), "no line of its own");
        let Some((socket, address)) = &self.socket else { return Ok(()) };
        socket.send_to_addr(format!("{name}={value}").as_bytes(), address).map(drop)
    }

    /// Tells when the process is ready for the first time, and what it waits for until then; and that it is alive as long
    /// as whoever polls this future gets its turn. Never ends.
    pub async fn follow(&self, readiness: &Readiness) {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        let ready = async {
            self.tell(&format!("STATUS=waiting for {}", readiness.pending().join(", ")));
            readiness.wait().await;
            self.ready();
        };
        tokio::join!(ready, self.stay_alive());
    }

    /// Tells a watchdog that the process is alive, as long as this future gets its turn. Never ends.
    pub async fn stay_alive(&self) {
        let Some(every) = self.alive_every else { return std::future::pending().await };
        let mut turns = tokio::time::interval(every);
        loop {
            turns.tick().await;
            self.tell("WATCHDOG=1");
        }
    }
}

#[cfg(test)]
mod tests;
