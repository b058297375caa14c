//! May it.

use crate::RequestView;
use model::{Policy, SpiffeId};
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of a request or connection.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Who is there, from the handshake alone; `None`: nobody proved anything.
    pub peer: Option<&'a SpiffeId>,
    /// Address of the peer; `None`: unknown.
    pub peer_ip: Option<IpAddr>,
    /// The application's port.
    pub port: u16,
    /// `None`: a TCP connection.
    pub http: Option<&'a RequestView<'a>>,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Stop.
    Deny {
        /// The DENY policy that matched; `None`: no ALLOW policy did.
        policy: Option<Arc<Policy>>,
        /// Which of its rules.
        rule: Option<usize>,
    },
}

/// Decides.
pub fn authorize(_policies: &[Arc<Policy>], _facts: &Facts<'_>) -> Decision {
    Decision::Deny { policy: None, rule: None }
}
