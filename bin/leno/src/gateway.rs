//! `leno gateway`: a proxy with a control plane in the same process, joined by an in-process stream.

use anyhow::Result;
use control::local::{self, Attached};
use control::source::Sources;
use daemon::{Drain, Tasks};
use model::Severity;
use proxy::start::{Opened, Seams};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `leno gateway`.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("source").args(["directory", "from"]).required(true)))]
pub(crate) struct Options {
    /// Directory of Gateway, HTTPRoute and Backend documents, watched
    ///
    /// Files that end in .yaml, .yml or .json are read, in subdirectories too, up to 8 deep; hidden ones are not.
    /// Nothing outside the directory is read: a link is followed if it leads to something inside, as the links
    /// of a mounted ConfigMap do.
    ///
    /// What changes together is one change. It is read when nothing has happened for 0.1 s, at the latest after
    /// 1 s. A file that is open for writing is read when it is closed, or when it was still for 10 s.
    ///
    /// What is taken away (a file, or an object in one) goes out of force when it has been away for 1 s, together
    /// with whatever else changed: a save that deletes a file and writes it anew takes nothing out.
    ///
    /// A file that is broken, empty, unreadable or larger than 4 MiB keeps its last good objects. So does a
    /// directory that is removed, or is empty and not the one that was read before: removing it takes nothing
    /// out, emptying it does. Documents of kinds that others serve are skipped. All of that is told as findings.
    #[arg(short = 'f', long = "filename", value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Directory that fills the gaps of -f, watched like it; may be repeated, the first has precedence
    ///
    /// Of objects with the same kind, namespace and name, that of -f is in force, else that of the fallback that
    /// was named first. What is overridden so is told as a finding (LENO0011). When an object is taken out of -f,
    /// that of a fallback comes into force at that moment. The directories must not lie in one another.
    #[arg(long, value_name = "DIR", requires = "directory")]
    fallback: Vec<PathBuf>,
    /// Address to listen on, for example :8080
    #[arg(long, value_name = "ADDR", requires = "to")]
    from: Option<String>,
    /// Address to send requests to, for example 127.0.0.1:9000, or grpc://127.0.0.1:9000 for HTTP/2
    #[arg(long, value_name = "ADDR", requires = "from")]
    to: Option<String>,
    /// Print the YAML that --from and --to stand for, and do nothing else
    #[arg(long, requires = "from")]
    print: bool,
    /// Number of worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Admin port on 127.0.0.1; 0 opens none
    #[arg(long, value_name = "PORT", default_value_t = model::address::PORT_ADMIN)]
    admin_port: u16,
    /// Where the admin page is instead, unix:PATH or an address on loopback; a Unix socket is for root and this user
    #[arg(long, value_name = "ADDR", conflicts_with = "admin_port")]
    admin: Option<model::BindAddress>,
    /// Write a line of JSON for each request to this file; `-` is standard output
    #[arg(long, value_name = "PATH")]
    access_log: Option<PathBuf>,
    /// Log level or filter, as in LENO_LOG
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(options: Options) -> Result<ExitCode> {
    let sources = match (&options.directory, &options.from, &options.to) {
        (Some(directory), ..) => {
            let directories = [directory].into_iter().chain(&options.fallback).cloned().collect();
            Sources { directories, text: None }
        }
        (None, Some(from), Some(to)) => match translate::shorthand::gateway(from, to) {
            Ok(text) => Sources { directories: Vec::new(), text: Some(text) },
            Err(error) => {
                eprintln!("error: {error:#}");
                return Ok(ExitCode::from(crate::USAGE));
            }
        },
        _ => anyhow::bail!("give either -f DIR, or --from and --to"),
    };
    if let (true, Some(text)) = (options.print, &sources.text) {
        print!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(code) = crate::start_logging("leno-gateway", options.log.as_deref()) {
        return Ok(code);
    }
    let proxy_options = proxy::options::Options {
        workers: options.workers,
        admin_port: options.admin_port,
        admin: options.admin,
        // The admin port has the metrics too, and several gateways may share a machine.
        metrics_port: 0,
        access_log: options.access_log,
        log: options.log,
        no_capture: true,
        ..proxy::options::Options::default()
    };
    // They live as long as the proxy, so the control plane's tasks do too.
    let tasks = Tasks::new();
    let (_trigger, drain) = Drain::new();
    let control = tasks.clone();
    let open = move || {
        let Attached { link, findings, .. } = local::attach(sources, &control, drain)?;
        let has_refusals = findings.iter().any(|finding| finding.code.level() == Severity::Error);
        for finding in findings {
            daemon::logging::say(finding);
        }
        Ok(Opened { link, has_refusals })
    };
    proxy::start::run_with_link(proxy_options, Seams::real(), open)?;
    Ok(ExitCode::SUCCESS)
}
