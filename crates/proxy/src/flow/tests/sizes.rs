//! A future is some memory for each request under way, and is moved by whoever does not pin it.

use super::bed::{Authority, Proxy, story};
use crate::flow::downstream::{Downstream, DownstreamSide};
use crate::flow::inbound;
use ::http::Request;
use codec::{Body, Interims};
use decide::listener::PeerCluster;
use std::rc::Rc;

/// Bytes of the future that serves one request.
const REQUEST_BYTES_MAX: usize = 3 * 1024 + 256;
/// The same at the callee.
const INBOUND_BYTES_MAX: usize = 3 * 1024 + 512;

#[test]
fn the_stories_of_requests_are_small() {
    story(async {
        let proxy = Proxy::new("west", Authority::new().identity("shop"), Vec::new());
        let address = "192.0.2.7:4321".parse().unwrap();
        let from = |side| Downstream::new(&proxy.worker, address, side, None, proxy.drain.clone());
        let edge = from(DownstreamSide::edge(std::net::SocketAddr::from(([0, 0, 0, 0], 80)), address));
        let size = size_of_val(&crate::flow::http::serve(
            Rc::clone(&edge),
            Request::new(Body::empty()),
            Interims::nowhere(),
        ));
        assert!(size <= REQUEST_BYTES_MAX, "{size} bytes");
        let mesh = from(DownstreamSide::Mesh { cluster: PeerCluster::Local });
        let size =
            size_of_val(&inbound::serve_request(&mesh, Request::new(Body::empty()), Interims::nowhere()));
        assert!(size <= INBOUND_BYTES_MAX, "{size} bytes");
    });
}
