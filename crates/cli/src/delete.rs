//! `leno delete`: objects by name, or those that files describe.

use crate::console::Console;
use crate::exit::{self, DATA, Failure, Outcome, USAGE};
use crate::naming;
use crate::remote::{self, Remote, Server};
use crate::{load, show};
use api::kinds::{self, Kind};
use http::StatusCode;
use model::Finding;

/// Arguments of `delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// KIND/NAME or KIND NAME...
    #[arg(value_name = "KIND/NAME", required_unless_present = "filename", conflicts_with = "filename")]
    what: Vec<String>,
    /// Delete the objects of these files or directories; `-` is standard input
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    filename: Vec<String>,
    /// Namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// What does not exist is no failure
    #[arg(long)]
    ignore_not_found: bool,
    #[command(flatten)]
    server: Server,
}

struct Doomed {
    kind: &'static Kind,
    namespace: String,
    name: String,
}

pub(crate) async fn run(args: &Delete, console: &mut Console) -> Outcome {
    let doomed = doomed(args, console)?;
    let remote = args.server.remote()?;
    let mut failed = None;
    // All are tried: one that is missing must not keep the others.
    for each in &doomed {
        if let Err(failure) = delete(&remote, each, args.ignore_not_found, console).await {
            console.failure(&failure);
            failed = failed.or(Some(failure.code));
        }
    }
    Ok(failed.unwrap_or(exit::OK))
}

fn doomed(args: &Delete, console: &mut Console) -> Result<Vec<Doomed>, Failure> {
    if args.filename.is_empty() {
        let namespace = naming::check_name(&args.namespace)?;
        let named = naming::parse(&args.what)?.into_iter().map(|wanted| match wanted.name {
            Some(name) => Ok(Doomed { kind: wanted.kind, namespace: namespace.clone(), name }),
            None => Err(Failure::new(USAGE, "name the object to delete, as KIND/NAME")),
        });
        return named.collect();
    }
    let loaded = load::load(&args.filename)?;
    let is_told = |finding: &&Finding| loaded.has_errors() || load::is_skipped(finding);
    let told: Vec<Finding> = loaded.findings.iter().filter(is_told).cloned().collect();
    show::findings(console, &told, |file| loaded.text_of(file));
    if loaded.has_errors() {
        return Err(Failure::new(DATA, "nothing was deleted"));
    }
    let of_file = loaded.objects.iter().filter_map(|object| {
        let kind = kinds::by_kind(&object.object.kind)?;
        let (namespace, name) = (object.object.namespace.to_string(), object.object.name.to_string());
        Some(Doomed { kind, namespace, name })
    });
    Ok(of_file.collect())
}

async fn delete(
    remote: &Remote,
    doomed: &Doomed,
    missing_ok: bool,
    console: &mut Console,
) -> Result<(), Failure> {
    let Doomed { kind, namespace, name } = doomed;
    let path = naming::path(kind, Some(namespace), Some(name));
    let response = remote.call("DELETE", &path, None).await?;
    match response.status() {
        status if status.is_success() => console.data(&format!("{} deleted\n", naming::display(kind, name))),
        StatusCode::NOT_FOUND if missing_ok => {}
        _ => return Err(remote::refusal(&response)),
    }
    Ok(())
}
