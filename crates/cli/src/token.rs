//! `leno token create`: a join token for one workload.

use crate::console::Console;
use crate::exit::{self, Failure, Outcome};
use crate::naming;
use crate::remote::{self, Server};

/// Commands on join tokens.
#[derive(Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Make a token with which one workload of a WorkloadGroup can join, once
    Create(Create),
}

/// Arguments of `token create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Name of the WorkloadGroup
    #[arg(value_name = "WORKLOADGROUP")]
    group: String,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(TokenCommand::Create(args): &TokenCommand, console: &mut Console) -> Outcome {
    let (namespace, group) = (naming::check_name(&args.namespace)?, naming::check_name(&args.group)?);
    let kind = api::kinds::by_kind("WorkloadGroup");
    let kind = kind.ok_or_else(|| Failure::new(exit::FAILED, "WorkloadGroup is no known kind"))?;
    let path = format!("{}/token", naming::path(kind, Some(&namespace), Some(&group)));
    let response = args.server.remote()?.call("POST", &path, None).await?;
    if !response.status().is_success() {
        return Err(remote::refusal(&response));
    }
    let answer = remote::answer(&response)?;
    let token = answer["token"].as_str().filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| Failure::new(exit::FAILED, "the answer holds no token"))?;
    console.data(&format!("{token}\n"));
    let expires = answer["expires"].as_str().unwrap_or("?");
    console.say(&format!(
        "for one workload of {namespace}/{group}, until {expires}; give it to leno proxy --join-token-file"
    ));
    Ok(exit::OK)
}
