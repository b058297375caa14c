//! `leno withdraw`: removes a proxy that will not come back.

use crate::console::Console;
use crate::exit::{self, Failure, Outcome};
use crate::naming;
use crate::remote::{self, Server};
use serde_json::json;

/// Arguments of `withdraw`.
#[derive(Debug, clap::Args)]
pub struct Withdraw {
    /// Name of the proxy as `leno status` shows it, for example west/default/web-1f2e3d4c5b6a
    #[arg(value_name = "CLUSTER/NAMESPACE/GROUP-ID")]
    name: String,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: &Withdraw, console: &mut Console) -> Outcome {
    let usage = || Failure::new(exit::USAGE, format!("{}: write a name as leno status shows it", args.name));
    let namespace = args.name.split('/').nth(1).ok_or_else(usage)?;
    let group = model::id::group_of(&args.name).ok_or_else(usage)?;
    let (namespace, group) = (naming::check_name(namespace)?, naming::check_name(group)?);
    let kind = api::kinds::by_kind("WorkloadGroup");
    let kind = kind.ok_or_else(|| Failure::new(exit::FAILED, "WorkloadGroup is no known kind"))?;
    let path = format!("{}/withdraw", naming::path(kind, Some(&namespace), Some(&group)));
    let body = Some(("application/json", json!({ "uid": args.name }).to_string()));
    let response = args.server.remote()?.call("POST", &path, body).await?;
    if !response.status().is_success() {
        return Err(remote::refusal(&response));
    }
    console.data(&format!("{} withdrawn\n", args.name));
    Ok(exit::OK)
}
