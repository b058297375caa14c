//! Joining a mesh as a proxy does: by a token that pins the root, for whatever key the request is of.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ca::JoinToken;
use identity::{Expect, Identity};
use tokio::net::TcpSocket;
use xds::Code;
use xds::grpc::{Channel, Dial, Join, Joined};

/// Who has not joined by then, though it asked again and again, is an error.
const JOINED_WITHIN: Duration = Duration::from_secs(60);
/// How long one that was turned away stays away.
const JOIN_BACK_OFF: Duration = Duration::from_millis(200);

/// Calls from an address of this host.
pub(crate) fn dial(control: SocketAddr, source: IpAddr) -> Dial {
    Arc::new(move || {
        Box::pin(async move {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(control).await
        })
    })
}

/// Joins. A control plane takes so many joins in a while and no more; who is turned away comes again.
pub(crate) async fn join(dial: Dial, join: &Join) -> Result<Joined> {
    let pin = JoinToken::parse(&join.token)?.root_pin();
    let tls = Identity::new(Vec::new()).client_config(Expect::PinnedRoot(pin), &[b"h2"]);
    let channel = Channel::connect_via(dial, Some(tls)).await?;
    let began = Instant::now();
    loop {
        match channel.join(join).await {
            Err(status) if status.code == Code::ResourceExhausted && began.elapsed() < JOINED_WITHIN => {
                tokio::time::sleep(JOIN_BACK_OFF).await;
            }
            joined => return Ok(joined?),
        }
    }
}
