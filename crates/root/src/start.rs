//! From options to a process that holds a root, and down again.

use crate::grants::Grants;
use crate::local::AllowedUsers;
use crate::options::{ListenAddress, Options};
use crate::tls::TlsDoor;
use crate::unix::{BoundSocket, LocalDoor};
use anyhow::Context;
use ca::Root;
use ca::issuer::serve::Holder;
use daemon::notify::Supervisor;
use daemon::{Drain, Tasks};
use model::hex::hex;
use model::time::rfc3339;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Life of a root that is made here: no longer than a process is left running.
const MADE_TTL: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a stop waits for answers that are under way.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

/// Holds a root until the process is asked to stop.
///
/// # Errors
/// When there is no root, or nowhere to listen.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let supervisor = Supervisor::from_env()?;
    let root = take_root(&options)?;
    let (pin, until) = (hex(&root.pin()), rfc3339(root.not_after()));
    let trust_domain = root.trust_domain().clone();
    let holder = Arc::new(Holder { root, lifetimes: options.lifetimes() });
    let (trigger, drain) = Drain::new();
    let (tasks, grants) = (Tasks::new(), Arc::<Grants>::default());
    let mut places = Vec::new();
    for address in &options.listen {
        match address {
            ListenAddress::Unix(path) => {
                let socket =
                    BoundSocket::bind(path, !options.allow_uid.is_empty()).await.context("--listen")?;
                let asked = LocalDoor {
                    holder: holder.clone(),
                    allowed: AllowedUsers::new(&options.allow_uid),
                    grants: grants.clone(),
                };
                tasks.spawn("unix", socket.serve(asked, tasks.clone(), drain.clone()));
                places.push(format!("unix:{}", path.display()));
            }
            ListenAddress::Tls(address) => {
                let door = TlsDoor::bind(*address, holder.clone(), grants.clone()).await?;
                places.push(format!("tls://{}", door.address()?));
                let (renewing, until) = (door.clone().renew(), drain.clone());
                tasks.spawn("own certificate", async move {
                    tokio::select! {
                        () = renewing => {}
                        () = until.started() => {}
                    }
                });
                tasks.spawn("tls", door.serve(tasks.clone(), drain.clone()));
            }
        }
    }
    let listen = places.join(" ");
    tracing::info!(%trust_domain, root_sha256 = pin, until, listen, "root held");
    supervisor.ready();
    tokio::select! {
        stop = daemon::process::wait_for_stop() => { stop.context("wait for signals")?; }
        () = supervisor.stay_alive() => {}
    }
    supervisor.stopping();
    trigger.start();
    tasks.drain(STOP_DEADLINE).await;
    Ok(())
}

/// Reads the root that is given, or makes one.
fn take_root(options: &Options) -> anyhow::Result<Root> {
    let trust_domain = options.trust_domain.clone();
    let Some(fd) = options.root_fd else {
        let root = Root::generate(trust_domain, MADE_TTL).context("make a root key")?;
        daemon::logging::say(
            "DEVELOPMENT ROOT: this root was made in the memory of this process and is gone when it ends. Clusters \
             then run on until their intermediates expire, and nobody can renew them. For anything that must last, \
             make a root elsewhere and pass it with --root-fd (docs/issuers.md).",
        );
        return Ok(root);
    };
    let pem = ca::pem::read_inherited(fd).with_context(|| format!("read the root from descriptor {fd}"))?;
    let root = Root::read(trust_domain, &pem, SystemTime::now());
    root.with_context(|| format!("use the root from descriptor {fd}"))
}
