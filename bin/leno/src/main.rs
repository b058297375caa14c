//! The program `leno`: wiring only. What each command does is in its crate.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use settings::SettingsError;
use std::future::Future;
use std::process::ExitCode;

mod backup;
mod gateway;
mod join;
mod man_pages;
mod node;
mod settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for wrong usage, as in sysexits.h.
const USAGE: u8 = 64;

/// A service mesh: proxies beside applications, gateways, control planes, and what joins clusters
#[derive(Parser)]
#[command(name = "leno", version)]
struct Leno {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The control plane of one cluster
    Control(control::options::Options),
    /// The management plane of many clusters
    Manager(manager::options::Options),
    /// Who holds the root of a mesh and signs for its clusters
    Root(root::options::RootArguments),
    /// A proxy beside an application, or a gateway that a control plane configures
    Proxy(proxy::options::Options),
    /// A proxy without a mesh, configured by files or by two addresses
    Gateway(gateway::Options),
    /// Two clusters on this machine, to try and to break
    Demo(lab::DemoArguments),
    /// This host joins the mesh: its proxy starts, and its traffic is captured until the end
    Join(join::JoinOptions),
    /// This host leaves the mesh: what `join` changed is undone
    Leave(join::LeaveOptions),
    /// What needs privileges on a host: capture of traffic
    #[command(subcommand)]
    Node(node::NodeCommand),
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    #[command(flatten)]
    User(cli::Command),
    /// Manual pages, for packages
    #[command(hide = true)]
    Manual(man_pages::ManualOptions),
    #[command(hide = true)]
    DemoEnter(lab::DemoStage),
    #[command(hide = true)]
    DemoInit(lab::DemoStage),
    /// The demo's application: answers with who it is and with what the next service said
    #[command(hide = true)]
    DemoApp(lab::app::AppOptions),
    /// Load at a constant rate, one line of JSON for each request
    #[command(hide = true)]
    DemoLoad(lab::load::LoadOptions),
}

fn main() -> ExitCode {
    // The demo makes namespaces, which a process with a second thread cannot: no runtime starts here.
    let command = match read_command() {
        Ok(command) => command,
        Err(SettingsError::Usage { told, place }) => {
            // Nobody may be left to read it: nothing more can be done then.
            let _ = told.print();
            if let Some(place) = place {
                daemon::logging::say(format_args!("that is {place}"));
            }
            return if told.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
        Err(error) => {
            daemon::logging::say(format_args!("error: {error}"));
            return ExitCode::from(USAGE);
        }
    };
    let code = run(command).unwrap_or_else(|error| {
        daemon::logging::say(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    });
    daemon::logging::finish();
    code
}

/// What this process was asked to do: on its command line, by the environment, by a file.
fn read_command() -> Result<Command, SettingsError> {
    let variables: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    let matches = settings::parse(Leno::command(), std::env::args_os().collect(), &variables)?;
    Ok(Leno::from_arg_matches(&matches)?.command)
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Control(options) => plane("leno-control", control::start::run(options, Default::default())),
        Command::Manager(options) => plane("leno-manager", manager::start::run(options, Default::default())),
        Command::Root(arguments) => match arguments.command {
            Some(command) => done(runtime()?.block_on(root::command::run(command))),
            None => plane("leno-root", root::start::run(arguments.options)),
        },
        Command::Proxy(options) => sidecar(options),
        Command::Gateway(options) => gateway::run(options),
        Command::Demo(arguments) => arguments.run(),
        Command::Join(options) => done(join::join(options)),
        Command::Leave(options) => done(join::leave(&options)),
        Command::Node(command) => done(node::run(command)),
        Command::Backup(command) => backup::run(&command),
        Command::User(command) => {
            let code = cli::run_in(command, settings::declare(Leno::command()));
            Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
        }
        Command::Manual(options) => done(man_pages::write(settings::declare(Leno::command()), &options)),
        Command::DemoEnter(stage) => stage.enter(),
        Command::DemoInit(stage) => stage.init(),
        Command::DemoApp(options) => done(lab::app::run(options)),
        Command::DemoLoad(options) => done(lab::load::run(options)),
    }
}

/// Runs a control plane or the management plane on a runtime of its own.
fn plane(name: &str, run: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    daemon::logging::init(name);
    daemon::process::harden();
    done(runtime()?.block_on(run))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn sidecar(options: proxy::options::Options) -> anyhow::Result<ExitCode> {
    if let Some(code) = start_logging("leno-proxy", options.log.as_deref()) {
        return Ok(code);
    }
    done(proxy::start::run(options, proxy::start::Seams::real()))
}

/// Logs from here on; `Some` when the filter is wrong.
fn start_logging(name: &str, filter: Option<&str>) -> Option<ExitCode> {
    daemon::logging::init(name);
    let error = daemon::logging::set_filter(filter?).err()?;
    daemon::logging::say(format_args!("error: --log: {error}"));
    Some(ExitCode::from(USAGE))
}

fn done<E: Into<anyhow::Error>>(result: Result<(), E>) -> anyhow::Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS).map_err(Into::into)
}
