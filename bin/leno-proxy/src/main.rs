//! The sidecar alone: no CA, no control plane, no Kubernetes client. Wiring only; read `proxy::start`.

use clap::Parser;
use proxy::options::Options;
use proxy::start::{self, Seams};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The data plane of Leno, to run beside one workload or as a gateway
#[derive(Parser)]
#[command(name = "leno-proxy", version)]
struct Command {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let options = match Command::try_parse() {
        Ok(command) => command.options,
        Err(told) => {
            // Nobody may be left to read it: nothing more can be done then.
            let _ = told.print();
            return if told.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    daemon::logging::init("leno-proxy");
    let code = run(options);
    daemon::logging::finish();
    code
}

fn run(options: Options) -> ExitCode {
    if let Some(filter) = &options.log
        && let Err(error) = daemon::logging::set_filter(filter)
    {
        daemon::logging::say(format_args!("leno-proxy: --log {filter}: {error}"));
        return ExitCode::from(64);
    }
    match start::run(options, Seams::real()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            daemon::logging::say(format_args!("leno-proxy: {:#}", anyhow::Error::new(error)));
            ExitCode::FAILURE
        }
    }
}
