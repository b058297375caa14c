//! A proxy of `codec` alone: server, client and a pool, no decisions. What Leno costs beyond it is what routes,
//! policies and records cost.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context, Result};
use codec::http1::{self, Http1Sender};
use codec::{Body, Reply, ResetCode, ServerOptions};
use http::Request;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

type Pool = Rc<RefCell<Vec<Http1Sender>>>;

/// Forwards until the process is killed.
pub(crate) fn run(from: SocketAddr, to: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(from).await.with_context(|| format!("listen on {from}"))?;
        let pool = Pool::default();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let pool = Rc::clone(&pool);
            spawn_local(async move {
                let options = ServerOptions::default();
                let service = |request| forward(request, Rc::clone(&pool), to);
                let _ = http1::serve(stream, &options, std::future::pending(), service).await;
            });
        }
    })
}

async fn forward(mut request: Request<Body>, pool: Pool, to: SocketAddr) -> Reply {
    codec::headers::strip_hop_by_hop(request.headers_mut());
    let Some(mut sender) = take(&pool, to).await else { return Reply::Reset(ResetCode::InternalError) };
    match sender.send(request).await {
        Ok(mut response) => {
            codec::headers::strip_hop_by_hop(response.headers_mut());
            // Not ready before the response is read; whoever takes it waits for that.
            pool.borrow_mut().push(sender);
            Reply::Response(response)
        }
        Err(_) => Reply::Reset(ResetCode::InternalError),
    }
}

async fn take(pool: &Pool, to: SocketAddr) -> Option<Http1Sender> {
    let ready = {
        let mut pool = pool.borrow_mut();
        pool.retain(|sender| !sender.is_closed());
        let index = pool.iter().rposition(Http1Sender::is_ready);
        index.map(|index| pool.swap_remove(index))
    };
    if let Some(sender) = ready {
        return Some(sender);
    }
    let stream = TcpStream::connect(to).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, driver) = http1::connect(stream).await.ok()?;
    spawn_local(driver);
    Some(sender)
}
