//! Many proxies, as a control plane sees them: each joins by a token, has a certificate and a control stream of its own,
//! wants one service, and acknowledges what comes. No traffic goes through them.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use identity::{Expect, Identity, Key, Svid};
use model::{Hostname, Subscription};
use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, spawn_local};
use xds::ProxyNode;
use xds::client::ClientSession;
use xds::grpc::{Channel, Join, Joined};

use crate::joining;
use crate::process::LOAD_CORE;
use crate::statistics::quantile;
use crate::told::ToldProcess;

/// Proxies that join at the same time.
const JOINING: usize = 8;
/// Addresses of loopback that they call from, 127.0.0.1 and so on: a control plane takes fewer joins of one than of all.
const SOURCES: usize = 10;
/// What is not seen by all of them by then is an error.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// The process that plays them.
pub(crate) struct Subscribers(ToldProcess);

/// When a change was seen, in milliseconds after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Subscribers {
    /// Starts them and waits until all are there; one line of `tokens` for each: group, token.
    pub(crate) fn start(control: SocketAddr, host: &str, tokens: &Path, log: &Path) -> Result<Subscribers> {
        let itself = std::env::current_exe()?.display().to_string();
        let tokens = tokens.display().to_string();
        let command =
            [&itself, "tool", "subscribers", &control.to_string(), host, &tokens].map(str::to_owned);
        let mut told = ToldProcess::start(LOAD_CORE, &command, log)?;
        let answer = told.ask("ready")?;
        ensure!(answer == "ready", "the subscribers failed: {answer}");
        Ok(Subscribers(told))
    }

    /// When the change that was made at `made` was seen by them.
    pub(crate) fn seen(&mut self, made: SystemTime) -> Result<Seen> {
        let answer = self.0.ask(&made.duration_since(UNIX_EPOCH)?.as_nanos().to_string())?;
        let (p50, p99) = answer.split_once(' ').with_context(|| format!("they said {answer}"))?;
        Ok(Seen { p50_ms: p50.parse()?, p99_ms: p99.parse()? })
    }
}

/// When each of them got something, since that was last asked for.
#[derive(Default)]
struct Board {
    updated: RefCell<Vec<Option<SystemTime>>>,
    changed: Notify,
}

impl Board {
    fn note(&self, number: usize) {
        if let Some(slot) = self.updated.borrow_mut().get_mut(number) {
            *slot = Some(SystemTime::now());
        }
        self.changed.notify_one();
    }

    /// Waits until each has got something, and forgets it.
    async fn all(&self) -> Vec<SystemTime> {
        loop {
            let all: Option<Vec<SystemTime>> = self.updated.borrow().iter().copied().collect();
            if let Some(all) = all {
                self.updated.borrow_mut().fill(None);
                return all;
            }
            self.changed.notified().await;
        }
    }
}

/// Plays them until standard input ends.
pub(crate) fn run(control: SocketAddr, host: &str, tokens: &Path) -> Result<()> {
    let tokens = std::fs::read_to_string(tokens)?;
    let host = Hostname::parse(host).context("read the host")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, play(control, host, &tokens))
}

async fn play(control: SocketAddr, host: Hostname, tokens: &str) -> Result<()> {
    let tokens: Vec<(String, String)> = tokens
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(group, token)| (group.into(), token.into()))
        .collect();
    let board = Rc::new(Board { updated: RefCell::new(vec![None; tokens.len()]), changed: Notify::new() });
    for (chunk, some) in tokens.chunks(JOINING).enumerate() {
        let mut joining = Vec::new();
        for (offset, (group, token)) in some.iter().cloned().enumerate() {
            let (board, host) = (Rc::clone(&board), host.clone());
            joining.push(spawn_local(open(control, host, group, token, chunk * JOINING + offset, board)));
        }
        for one in joining {
            one.await??;
        }
    }
    let mut lines = told();
    while let Some(line) = lines.recv().await {
        let began = Instant::now();
        let all = tokio::time::timeout(SEEN_WITHIN, board.all()).await;
        let all = all.with_context(|| format!("not seen by all within {:?}", began.elapsed()))?;
        let Ok(nanoseconds) = line.trim().parse::<u64>() else {
            println!("ready");
            continue;
        };
        let made = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        let mut after: Vec<f64> =
            all.iter().map(|at| at.duration_since(made).unwrap_or_default().as_secs_f64() * 1000.0).collect();
        println!("{:.3} {:.3}", quantile(&mut after, 0.5), quantile(&mut after, 0.99));
    }
    Ok(())
}

/// The lines of standard input.
fn told() -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                break;
            }
        }
    });
    told
}

/// Joins and opens the stream; what comes is acknowledged by a task.
async fn open(
    control: SocketAddr,
    host: Hostname,
    group: String,
    token: String,
    number: usize,
    board: Rc<Board>,
) -> Result<()> {
    let dial = joining::dial(control, Ipv4Addr::new(127, 0, 0, (number % SOURCES + 1) as u8).into());
    let key = Key::generate()?;
    let address = Ipv4Addr::from(0x0a00_0000_u32 + number as u32 + 1);
    let join =
        Join { token, csr: key.csr()?, addresses: vec![IpAddr::V4(address)], version: "bench".to_owned() };
    let joined = joining::join(Arc::clone(&dial), &join).await?;
    let identity = Identity::new(joined.bundles.clone());
    identity.install(Svid::new(key, joined.chain.clone())?);
    let own = identity.id().context("no identity")?;
    let expect = Expect::Control { trust_domain: own.trust_domain, cluster: joined.cluster.clone().into() };
    let tls = identity.client_config(expect, &[b"h2"]);
    let channel = Channel::connect_via(dial, Some(tls)).await?;
    spawn_local(async move {
        if let Err(error) = follow(channel, host, group, joined, address, number, &board).await {
            eprintln!("subscriber {number}: {error:#}");
        }
    });
    Ok(())
}

async fn follow(
    channel: Channel,
    host: Hostname,
    group: String,
    joined: Joined,
    address: Ipv4Addr,
    number: usize,
    board: &Board,
) -> Result<()> {
    let mut link = channel.open_ads();
    let mut session = ClientSession::new();
    session.subscribe(&[Subscription::Host(host)]);
    let node = ProxyNode {
        uid: joined.uid,
        namespace: joined.namespace,
        group,
        addresses: vec![address.to_string()],
        version: "bench".to_owned(),
    };
    link.tx.send(session.on_connect(node)).await?;
    while let Some(response) = link.rx.recv().await {
        let Ok(update) = session.on_response(response?) else { continue };
        link.tx.send(session.ack(&update.nonce, session.held_hash())).await?;
        board.note(number);
    }
    Ok(())
}
