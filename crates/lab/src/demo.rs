//! `leno demo` and its commands.

use crate::client::Client;
use crate::enter::{self, Greeting};
use crate::init;
use crate::inside::Inside;
use crate::protocol::{DEFAULT_NAME, Manner};
use crate::table::{self, Life};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;

/// Two clusters, a management plane and an API gateway on this machine, in namespaces of their own
#[derive(Args, Clone, Debug)]
pub struct DemoArguments {
    /// Tells demos apart that run side by side
    #[arg(long, global = true, default_value = DEFAULT_NAME)]
    name: String,
    /// First of three ports on 127.0.0.1: edge, west, east; 0 takes any free ones
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Workers of each proxy
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Life of workloads' certificates, in seconds
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(20..=86_400))]
    certificate_ttl_s: u32,
    /// Log level of all programs
    #[arg(long, default_value = "info")]
    log: String,
    /// Return when all is ready and go on in the background
    #[arg(long)]
    detach: bool,
    /// End when the process with this id ends
    #[arg(long, value_name = "PID")]
    with_pid: Option<i32>,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
    /// Print the state as one line of JSON when ready
    #[arg(long, hide = true)]
    report: bool,
    #[command(subcommand)]
    command: Option<DemoCommand>,
}

/// What to do with a demo that runs.
#[derive(Subcommand, Clone, Debug)]
enum DemoCommand {
    /// Run a command inside a host
    Exec {
        /// For example west/client
        host: String,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Set how many workloads a service has
    Scale {
        /// For example west/purchase-history
        service: String,
        /// How many
        replicas: u32,
        /// Kill those that are too many instead of draining them
        #[arg(long)]
        kill: bool,
    },
    /// kill -9 everything in a host
    Kill {
        /// For example mgmt or west/control
        host: String,
    },
    /// Start what was killed or stopped
    Start {
        /// For example mgmt or west/control
        host: String,
    },
    /// Stop a host gracefully; without a host: end the demo
    Stop {
        /// For example west/web-api
        host: Option<String>,
    },
    /// Suspend everything in a host (SIGSTOP)
    Pause {
        /// For example east/web-api
        host: String,
    },
    /// Let it go on (SIGCONT)
    Resume {
        /// For example east/web-api
        host: String,
    },
    /// Pull a host's cables
    Cut {
        /// For example west/east-west
        host: String,
    },
    /// Plug them in again
    Restore {
        /// For example west/east-west
        host: String,
    },
    /// Show what runs
    Ps,
    /// Show a log of a host
    Logs {
        /// For example west/web-api
        host: String,
        /// app, proxy, access, control, manager or setup [default: what the host is for]
        #[arg(long, short)]
        program: Option<String>,
    },
    /// Apply configuration to a cluster, as with leno apply inside it
    Apply {
        /// File; - is standard input
        #[arg(short = 'f', long = "filename")]
        file: PathBuf,
        /// Which cluster
        #[arg(long, short, default_value = "west")]
        cluster: String,
    },
}

/// The demo's own stages: started by `leno demo`, never by hand
#[derive(Args, Clone, Debug)]
pub struct DemoStage {
    /// State that the stage before hands over
    inherited: String,
}

impl DemoStage {
    /// Stage one: makes the namespaces.
    pub fn enter(&self) -> Result<ExitCode> {
        enter::enter(&self.inherited)
    }

    /// PID 1 inside.
    pub fn init(&self) -> Result<ExitCode> {
        init::run(&self.inherited, announce)
    }
}

impl DemoArguments {
    /// Runs the command. Without one, it starts a demo, and must be called before a second thread exists.
    pub fn run(self) -> Result<ExitCode> {
        match &self.command {
            Some(command) => control(&Client::connect(&self.name)?, command),
            None if self.detach => detach(&self),
            None => enter::launch(self.options()),
        }
    }

    fn options(self) -> enter::LabOptions {
        enter::LabOptions {
            name: self.name,
            port: self.port,
            workers: self.workers,
            certificate_ttl_s: self.certificate_ttl_s,
            log: self.log,
            with_pid: self.with_pid,
            greeting: match (self.report, self.quiet) {
                (true, _) => Greeting::Report,
                (false, true) => Greeting::None,
                (false, false) => Greeting::Table,
            },
        }
    }
}

fn control(client: &Client, command: &DemoCommand) -> Result<ExitCode> {
    match command {
        DemoCommand::Exec { host, command } => {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            return Ok(exit_code(client.exec_inherited(host, &command)?));
        }
        DemoCommand::Scale { service, replicas, kill } => {
            let manner = if *kill { Manner::Abrupt } else { Manner::Graceful };
            client.scale(service, *replicas, manner)?;
        }
        DemoCommand::Kill { host } => client.kill(host)?,
        DemoCommand::Start { host } => client.start_host(host)?,
        DemoCommand::Stop { host: Some(host) } => client.stop(host)?,
        DemoCommand::Stop { host: None } => client.end()?,
        DemoCommand::Pause { host } => client.pause(host)?,
        DemoCommand::Resume { host } => client.resume(host)?,
        DemoCommand::Cut { host } => client.cut(host)?,
        DemoCommand::Restore { host } => client.restore(host)?,
        DemoCommand::Ps => print(&table::hosts(&client.status()?)),
        DemoCommand::Logs { host, program } => {
            let program = match program {
                Some(program) => program.clone(),
                None => usual_log(client, host)?,
            };
            print(&client.log(host, &program)?);
        }
        DemoCommand::Apply { file, cluster } => {
            let input: OwnedFd = if file.as_os_str() == "-" {
                std::io::stdin().as_fd().try_clone_to_owned()?
            } else {
                File::open(file).with_context(|| format!("open {}", file.display()))?.into()
            };
            // The host does not see this file, so it is sent; findings shall name it all the same.
            let name = if file.as_os_str() == "-" { "stdin".into() } else { file.to_string_lossy() };
            let command = ["leno", "apply", "-f", "-", &format!("--stdin-filename={name}")];
            return Ok(exit_code(client.exec_with_input(&format!("{cluster}/control"), &command, &input)?));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The log of what a host is there for.
fn usual_log(client: &Client, host: &str) -> Result<String> {
    let status = client.status()?;
    let row = status.hosts.iter().find(|row| row.name == host);
    let processes = &row.with_context(|| format!("there is no host {host}; see: leno demo ps"))?.processes;
    let known = ["control", "manager", "proxy", "app"];
    let found = known.into_iter().find(|program| processes.contains_key(*program));
    Ok(found.context("nothing runs there; name a log with --program")?.to_owned())
}

fn exit_code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Starts the same command in the background and waits until it is ready.
fn detach(arguments: &DemoArguments) -> Result<ExitCode> {
    // A file without a name: what the background says until it is ready, and nothing on disk.
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let mut said = File::from(nix::sys::memfd::memfd_create(c"leno-demo", flags).context("make a buffer")?);
    let (status, status_far) = std::io::pipe().context("make a pipe")?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("leno").args(["demo", "--report"]);
    command.arg(format!("--name={}", arguments.name));
    command.arg(format!("--port={}", arguments.port));
    command.arg(format!("--workers={}", arguments.workers));
    command.arg(format!("--certificate-ttl-s={}", arguments.certificate_ttl_s));
    command.arg(format!("--log={}", arguments.log));
    command.args(arguments.with_pid.map(|pid| format!("--with-pid={pid}")));
    command.process_group(0).stdin(Stdio::null()).stdout(status_far).stderr(said.try_clone()?);
    command.spawn().context("start the demo")?;
    // The other end is in the background's hands alone from here on: its end is the end of the pipe.
    drop(command);
    let mut line = String::new();
    BufReader::new(status).read_line(&mut line).context("wait for the demo")?;
    if let Ok(status) = serde_json::from_str(&line) {
        if !arguments.quiet {
            print(&table::welcome(&status, Life::Detached));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    said.rewind()?;
    said.read_to_string(&mut text)?;
    match text.trim() {
        "" => bail!("the demo ended without a word"),
        text => bail!("{}", text.trim_start_matches("error: ")),
    }
}

/// Says that the demo is ready, or why not; a failed start ends the lab.
async fn announce(inside: Rc<Inside>) {
    let status = match inside.wait_ready().await {
        Ok(()) => inside.status(),
        Err(error) => {
            // Not eprintln: nobody may be reading any more.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            std::process::exit(1);
        }
    };
    match inside.options.greeting {
        Greeting::None => {}
        Greeting::Table => print(&table::welcome(&status, Life::Foreground)),
        Greeting::Report => print(&format!("{}\n", serde_json::to_string(&status).unwrap_or_default())),
    }
}

/// Standard output may be closed; then nobody wants to know.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
