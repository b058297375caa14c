//! Rules for connections and datagrams: one resource for each rule of a `TCPRoute`, `TLSRoute` or `UDPRoute`, or of the
//! `tcp` and `tls` of an Istio `VirtualService`. They hang on the same parents as [`crate::route::RouteRule`], and
//! have the same weighted backends; `decide::l4_route` chooses among them.

use crate::authz::Cidr;
use crate::origin::Origin;
use crate::route::{HostMatch, Parent, RouteBackend};
use std::sync::Arc;

/// One rule of one route under one parent.
#[derive(Clone, Debug, PartialEq)]
pub struct L4Rule {
    /// What it is attached to. Of a gateway: always one listener by name, for not every listener takes such rules.
    pub parent: Parent,
    /// Route object and line; also the access log's `route_name`.
    pub origin: Origin,
    /// Index of the rule in its route, from 0.
    pub index: u32,
    /// `creationTimestamp` as seconds since the epoch, for precedence among equals; 0 when unknown.
    pub created_s: u64,
    /// The namespace whose callers alone it is for (GAMMA: a consumer route); `None`: for all.
    pub consumer: Option<Arc<str>>,
    /// Any of these must match; empty: every connection.
    pub matches: Vec<L4Match>,
    /// Weighted destinations; empty, or none with a weight: the connection is refused.
    pub backends: Vec<RouteBackend>,
}

/// One set of conditions; all must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct L4Match {
    /// Server name of the TLS handshake (SNI): any of these; empty: any name, or none.
    pub server_names: Vec<HostMatch>,
    /// The address that the caller connected to lies in any of these; empty: any address.
    pub destinations: Vec<Cidr>,
    /// The caller's address lies in any of these; empty: any address.
    pub sources: Vec<Cidr>,
    /// Port of the service or listener; 0: any.
    pub port: u16,
}
