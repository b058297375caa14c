//! All pairs on one stage: Leno's sidecars, HAProxy twice, Envoy twice, the null proxy twice, and for comparison one
//! plain proxy of Leno's. All are reached in the same way, with the same application behind them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::folder::Folder;
use crate::measured::Load;
use crate::mesh::{self, AppPorts, Logging, Mesh, RULES, probe};
use crate::options::Options;
use crate::peers::certificates::Certificates;
use crate::peers::pair::{self, LogShare, PairProgram, PairSettings, Places};
use crate::peers::{self, Wire};
use crate::process::{self, LOAD_CORE, PROXY_CORE, RunningProgram};
use crate::stage::{CALLEE, HostRedirect, TwoHosts};
use crate::turns::Contender;
use crate::{tcp_load, wrk};

/// Of the callee's application.
pub(crate) const APP: AppPorts = AppPorts { http: 8080, tcp: 8081 };
/// Of the service in the mesh, and of the addresses that stand for the other pairs.
pub(crate) const HTTP_PORT: u16 = 80;
/// Of the service in the mesh, for opaque bytes.
const TCP_PORT: u16 = 81;
/// Who listens where: the caller's side; the callee's is the next one. Leno's own are fixed.
const PORTS: [(&str, u16); 3] = [("null", 15_101), ("haproxy", 15_121), ("envoy", 15_131)];
/// Of the plain proxy, on loopback at the callee's host.
const PLAIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15_111);
/// What a call does not get through by then has failed.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Logs that are larger are emptied between two blocks.
const LOG_BYTES_KEPT: u64 = 1 << 20;

/// What goes through the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// HTTP/1.1 at both applications.
    Http,
    /// Bytes that no proxy reads.
    Opaque,
}

/// The stage with all that does not take turns.
pub(crate) struct Staged {
    folder: Folder,
    stage: TwoHosts,
    certificates: Certificates,
    leno: PathBuf,
    venv: PathBuf,
    log: LogShare,
    traffic: Traffic,
    _app: RunningProgram,
}

impl Staged {
    /// Makes the hosts and starts the application. This process must have one thread.
    pub(crate) fn set_up(options: &Options, name: &str, traffic: Traffic) -> Result<Staged> {
        let (folder, leno) = (options.folder()?.fresh(name)?, options.leno()?);
        let venv = options.folder()?.path("envoy");
        let certificates = Certificates::make(folder.root())?;
        let stage = TwoHosts::enter(folder.root())?;
        let mut redirects = PORTS.map(|(name, port)| HostRedirect { from: address(name), port }).to_vec();
        for port in [HTTP_PORT, TCP_PORT] {
            redirects.push(HostRedirect { from: Mesh::service(port), port: model::address::PORT_OUTBOUND });
        }
        stage.redirect(&redirects)?;
        let app = start_app(&folder, traffic)?;
        Ok(Staged { folder, stage, certificates, leno, venv, log: options.log, traffic, _app: app })
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Of the other pairs' caller, in PEM.
    pub(crate) fn credentials(&self) -> &Path {
        &self.certificates.caller
    }

    /// A command, to be run on the caller's host.
    pub(crate) fn at_caller(&self, command: &[String]) -> Vec<String> {
        self.stage.at_caller(command)
    }

    /// Leno's control plane on the stage.
    pub(crate) fn mesh(&self) -> Result<Mesh<'_>> {
        Mesh::start(&self.stage, &self.leno, self.folder.root(), APP)
    }

    /// All who are wanted; a missing one is named and left out.
    pub(crate) fn contenders<'a>(
        &'a self,
        options: &Options,
        mesh: &'a Mesh<'a>,
    ) -> Result<Vec<Contender<'a>>> {
        let all = match self.traffic {
            Traffic::Http => ["null", "plain", "leno", "haproxy", "envoy"].as_slice(),
            Traffic::Opaque => &["null", "leno", "haproxy", "envoy"],
        };
        let wanted = all.iter().copied().filter(|name| options.wants(name));
        Self::present(wanted, |name| self.contender(name, mesh))
    }

    fn contender<'a>(&'a self, name: &str, mesh: &'a Mesh<'a>) -> Result<Contender<'a>> {
        if name == "plain" {
            return self.plain();
        }
        let port = if self.traffic == Traffic::Opaque { TCP_PORT } else { HTTP_PORT };
        let to = if name == "leno" { Mesh::service(port) } else { address(name) };
        if name == "leno" {
            let start = Box::new(move || self.ready(mesh.sidecars(self.logging(), &mesh::bare)?, to));
            return Ok(Contender { name: "Leno", version: self.version(), start, to });
        }
        Ok(self.pair(self.peer(name)?, to))
    }

    /// The callees' sides alone, to be called without a caller's; a missing one is named and left out.
    pub(crate) fn callees<'a>(&'a self, options: &Options, mesh: &'a Mesh<'a>) -> Result<Vec<Contender<'a>>> {
        let wanted = ["leno", "haproxy", "envoy"].into_iter().filter(|name| options.wants(name));
        Self::present(wanted, |name| self.callee(name, mesh))
    }

    fn callee<'a>(&'a self, name: &str, mesh: &'a Mesh<'a>) -> Result<Contender<'a>> {
        if name == "leno" {
            let start = Box::new(move || Ok(vec![mesh.callee(self.logging(), &mesh::bare)?]));
            let to = SocketAddr::from((CALLEE, model::address::PORT_MESH));
            return Ok(Contender { name: "Leno", version: self.version(), start, to });
        }
        let to = self.places(name).callee;
        let PairProgram { name, version, callee, .. } = self.peer(name)?;
        let start = Box::new(move || {
            let log = self.folder.path(&format!("{name}-callee.log"));
            let mut running = RunningProgram::start(name, PROXY_CORE, &callee, &log)?;
            running.wait_for(to)?;
            Ok(vec![running])
        });
        Ok(Contender { name, version, start, to })
    }

    fn logging(&self) -> Logging {
        if self.log == LogShare::None { Logging::None } else { Logging::All }
    }

    /// Of Leno.
    fn version(&self) -> String {
        process::version(&self.leno, "--version")
    }

    /// Another pair than Leno's.
    fn peer(&self, name: &str) -> Result<PairProgram> {
        let settings = PairSettings {
            places: self.places(name),
            certificates: &self.certificates,
            log: self.log,
            rules: RULES,
            is_opaque: self.traffic == Traffic::Opaque,
        };
        match name {
            "null" => pair::null(settings.places),
            "haproxy" => pair::haproxy(&self.folder, &settings),
            _ => pair::envoy(&self.folder, &self.venv, &settings),
        }
    }

    fn present<'a>(
        names: impl Iterator<Item = &'static str>,
        find: impl Fn(&str) -> Result<Contender<'a>>,
    ) -> Result<Vec<Contender<'a>>> {
        let mut contenders = Vec::new();
        for name in names {
            match find(name) {
                Ok(contender) => contenders.push(contender),
                Err(cause) => eprintln!("without {name}: {cause:#}"),
            }
        }
        if contenders.is_empty() {
            bail!("nobody to measure");
        }
        Ok(contenders)
    }

    /// One proxy of Leno's as the scenario `http1` has it: on loopback, without a mesh and without a log.
    fn plain(&self) -> Result<Contender<'_>> {
        let app = SocketAddr::from((Ipv4Addr::LOCALHOST, APP.http));
        let program = peers::leno(&self.leno, Wire::Http1, PLAIN, app)?;
        let command = program.command;
        let start = Box::new(move || {
            let log = self.folder.path("plain.log");
            let mut running = RunningProgram::start("plain", PROXY_CORE, &command, &log)?;
            running.wait_for(PLAIN)?;
            Ok(vec![running])
        });
        Ok(Contender { name: "Leno, plain", version: program.version, start, to: PLAIN })
    }

    /// No proxy: the caller's application calls the callee's.
    pub(crate) fn direct(&self) -> Contender<'_> {
        let to = SocketAddr::from((CALLEE, APP.http));
        Contender { name: "direct", version: "no proxy".to_owned(), start: Box::new(|| Ok(Vec::new())), to }
    }

    fn pair(&self, pair: PairProgram, to: SocketAddr) -> Contender<'_> {
        let caller = self.stage.at_caller(&pair.caller);
        let (name, callee) = (pair.name, pair.callee);
        let start = Box::new(move || {
            let log = |side: &str| self.folder.path(&format!("{name}-{side}.log"));
            let callee = RunningProgram::start(name, PROXY_CORE, &callee, &log("callee"))?;
            let caller = RunningProgram::start(name, PROXY_CORE, &caller, &log("caller"))?;
            self.ready(vec![caller, callee], to)
        });
        Contender { name, version: pair.version, start, to }
    }

    /// Once a call goes all the way.
    fn ready(&self, running: Vec<RunningProgram>, to: SocketAddr) -> Result<Vec<RunningProgram>> {
        let ask = match self.traffic {
            Traffic::Http => probe(to, "/")?,
            Traffic::Opaque => tcp_load::command(LOAD_CORE, to, 1, 0)?,
        };
        let (ask, began) = (self.stage.at_caller(&ask), Instant::now());
        while let Err(cause) = process::run(&ask, "") {
            if began.elapsed() > READY_WITHIN {
                return Err(cause).with_context(|| format!("see the logs in {}", self.folder.text()));
            }
        }
        Ok(running)
    }

    fn places(&self, name: &str) -> Places {
        let port = PORTS.iter().find(|(own, _)| *own == name).map_or(0, |(_, port)| *port);
        let app = if self.traffic == Traffic::Opaque { APP.tcp } else { APP.http };
        Places {
            caller: SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            callee: SocketAddr::from((CALLEE, port + 1)),
            app: SocketAddr::from((CALLEE, app)),
        }
    }

    /// The command of a generator, to be run where the caller's application is; for what is on loopback, beside it.
    pub(crate) fn beside_caller(&self, to: SocketAddr, command: &[String]) -> Vec<String> {
        if to.ip().is_loopback() { command.to_vec() } else { self.stage.at_caller(command) }
    }

    /// Load of `wrk`.
    pub(crate) fn wrk(&self, to: SocketAddr, connections: usize, seconds: u64) -> Result<Load> {
        let command = wrk::command(LOAD_CORE, to, connections, seconds);
        let load = wrk::run(&self.beside_caller(to, &command));
        self.empty_logs()?;
        load
    }

    /// Access logs of a whole run would fill the disk.
    pub(crate) fn empty_logs(&self) -> Result<()> {
        for entry in fs::read_dir(self.folder.root())?.flatten() {
            let name = entry.file_name();
            let is_log = [".log", ".access"].iter().any(|end| name.to_string_lossy().ends_with(end));
            if is_log && entry.metadata()?.len() > LOG_BYTES_KEPT {
                fs::OpenOptions::new().write(true).open(entry.path())?.set_len(0)?;
            }
        }
        Ok(())
    }
}

/// The address that stands for a pair, as a mesh-only one does for a service.
fn address(name: &str) -> SocketAddr {
    let number = PORTS.iter().position(|(own, _)| *own == name).unwrap_or_default() as u8;
    SocketAddr::from((Ipv4Addr::new(198, 18, 0, number + 1), HTTP_PORT))
}

/// What is behind the callee's proxy.
fn start_app(folder: &Folder, traffic: Traffic) -> Result<RunningProgram> {
    let (command, port) = match traffic {
        Traffic::Http => {
            let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, APP.http));
            (peers::backend(folder, at)?.command, APP.http)
        }
        Traffic::Opaque => {
            let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, APP.tcp));
            (tcp_load::sink_command(at)?, APP.tcp)
        }
    };
    let mut app = RunningProgram::start("the application", LOAD_CORE, &command, &folder.path("app.log"))?;
    app.wait_for(SocketAddr::from((CALLEE, port)))?;
    Ok(app)
}
