//! Proxies and backends, and each story told to each proxy, one call after the other.

use crate::backend::{self, Noted};
use crate::message::Message;
use crate::proxies::{RunningProxy, free_port};
use crate::seen::{self, SeenCall};
use crate::settings::{self, NamedBackend};
use crate::story::{Story, Teller};
use crate::{call, log};
use anyhow::{Context, Result, bail};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Where nobody listens: port 1 belongs to a service that nobody has (tcpmux).
const GONE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What a run brought.
pub(crate) struct StoriesTold {
    pub(crate) seen: Vec<SeenCall>,
    pub(crate) calls: usize,
}

/// Tells the stories.
///
/// # Errors
/// A proxy does not start, or does not serve what it was told.
pub(crate) fn tell(stories: &[&Story], envoy: &Path, leno: &Path) -> Result<StoriesTold> {
    let folder = tempfile::tempdir()?;
    let noted = Arc::<Noted>::default();
    let mut backends: Vec<NamedBackend> = vec![("gone", GONE)];
    for name in ["one", "two", "shadow"] {
        backends.push((name, backend::begin(name, &noted)?));
    }
    let port = free_port(&Teller::ALL.map(Teller::address))?;
    let logs = [folder.path().join("envoy.log"), folder.path().join("leno.log")];
    let at =
        |teller: Teller| -> Result<SocketAddr> { Ok((teller.address().parse::<Ipv4Addr>()?, port).into()) };
    let words = folder.path().join("leno.words");
    let mut proxies = [
        start_envoy(
            envoy,
            folder.path(),
            &settings::envoy(stories, &backends, port, &logs[0].display().to_string()),
        )?,
        start_leno(leno, folder.path(), &settings::leno(stories, &backends, port), &logs[1], &words)?,
    ];
    for teller in Teller::ALL {
        proxies[usize::from(teller != Teller::Envoy)]
            .wait_for(at(teller)?)
            .with_context(|| said(folder.path()))?;
    }
    refuse_findings(&words)?;
    let mut all = Vec::new();
    let mut methods: [Vec<&str>; 2] = Default::default();
    for story in stories {
        for (number, wish) in (1..).zip(story.calls) {
            for teller in Teller::ALL.into_iter().filter(|teller| teller.knows(story)) {
                let id = format!("{} {} {number}", teller.name(), story.name);
                let answer = call::call(at(teller)?, story, wish, &id).unwrap_or_else(|error| broken(&error));
                let arrived =
                    noted.arrived(&id, story.arrive).with_context(|| format!("{id}: {answer:?}"))?;
                let values = seen::values(&answer, &arrived);
                methods[usize::from(teller != Teller::Envoy)]
                    .push(wish.split(' ').next().unwrap_or_default());
                all.push(SeenCall { story: story.name, call: number, teller, values });
            }
        }
    }
    for (path, (methods, is_envoy)) in logs.iter().zip(methods.into_iter().zip([true, false])) {
        let lines = log::read(path, &methods)?;
        let of_it = all.iter_mut().filter(|seen| (seen.teller == Teller::Envoy) == is_envoy);
        for (seen, line) in of_it.zip(lines) {
            seen.values.extend(line);
        }
    }
    let calls = all.len();
    Ok(StoriesTold { seen: all, calls })
}

/// What stands for an answer that did not come.
fn broken(error: &anyhow::Error) -> Message {
    Message { first: "- none".into(), body: format!("{error:#}"), ..Message::default() }
}

fn start_envoy(program: &Path, folder: &Path, settings: &str) -> Result<RunningProxy> {
    let file = folder.join("envoy.yaml");
    std::fs::write(&file, settings)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).args(["--concurrency", "1", "--disable-hot-restart"]);
    command.args(["--log-level", "warning", "--file-flush-interval-msec", "50"]);
    RunningProxy::start("Envoy", &mut command, &folder.join("envoy.words"))
}

fn start_leno(
    program: &Path,
    folder: &Path,
    documents: &str,
    log: &Path,
    words: &Path,
) -> Result<RunningProxy> {
    let directory = folder.join("documents");
    std::fs::create_dir(&directory)?;
    std::fs::write(directory.join("all.yaml"), documents)?;
    let mut command = Command::new(program);
    command.args(["gateway", "--admin-port", "0", "--workers", "1", "--access-log"]).arg(log);
    command.arg("-f").arg(&directory);
    RunningProxy::start("Leno", &mut command, words)
}

/// What both have said.
fn said(folder: &Path) -> String {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    format!("{}{}", read("envoy.words"), read("leno.words"))
}

/// What Leno does not do would not be compared. That no POST is retried by `retryOn` is: it is a row of the differences.
fn refuse_findings(words: &Path) -> Result<()> {
    let said = std::fs::read_to_string(words)?;
    let is_compared = |line: &str| line.contains("LENO0109") && line.contains("`retryOn`");
    match said.lines().find(|line| line.contains("LENO0") && !is_compared(line)) {
        None => Ok(()),
        Some(finding) => bail!("Leno has something to say of a story's documents: {finding}"),
    }
}
