//! `leno delete`: objects by name, or those that files describe, as one change.

use crate::console::Console;
use crate::exit::{self, DATA, Failure, Outcome, USAGE};
use crate::naming;
use crate::remote::{self, Meant, Server};
use crate::{load, show};
use api::kinds::{self, ObjectKind};
use model::{Finding, ObjectRef};
use serde_json::{Value, json};

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
    /// Delete also what makes a port STRICT that callers in plaintext use; see leno mtls plan
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: Server,
}

struct Doomed {
    kind: &'static ObjectKind,
    namespace: String,
    name: String,
}

pub(crate) async fn run(args: &Delete, console: &mut Console) -> Outcome {
    let doomed = doomed(args, console)?;
    let remote = args.server.remote()?;
    let references: Vec<Value> = doomed.iter().map(reference).collect();
    let response = remote.change(&[], &references, Meant::by(args.force)).await?;
    if !response.status().is_success() {
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let findings = remote::findings(&body);
        if findings.len() < 2 {
            return Err(remote::refusal(&response));
        }
        show::findings(console, &findings, |_| None);
        return Err(Failure::new(DATA, "nothing was deleted"));
    }
    // What is not there keeps nothing else.
    let answer = remote::answer(&response)?;
    let named = |list: &str, each: &Doomed| {
        let is = |value: &Value, name: &str, text: &str| value[name].as_str() == Some(text);
        answer[list].as_array().into_iter().flatten().any(|value| {
            is(value, "kind", each.kind.kind)
                && is(value, "namespace", each.namespace())
                && is(value, "name", &each.name)
        })
    };
    let mut code = exit::OK;
    for each in &doomed {
        if named("deleted", each) {
            console.data(&format!("{} deleted\n", naming::display(each.kind, &each.name)));
        } else if !args.ignore_not_found {
            let what = ObjectRef::new(each.kind.kind, each.namespace(), &each.name);
            code = console.failure(&Failure::new(exit::FAILED, format!("{what} not found")));
        }
    }
    show::findings(console, &remote::findings(&answer), |_| None);
    Ok(code)
}

impl Doomed {
    fn namespace(&self) -> &str {
        if self.kind.namespaced { &self.namespace } else { "" }
    }
}

fn reference(doomed: &Doomed) -> Value {
    let mut metadata = json!({ "name": doomed.name });
    if doomed.kind.namespaced {
        metadata["namespace"] = doomed.namespace.as_str().into();
    }
    json!({ "apiVersion": doomed.kind.api_version(), "kind": doomed.kind.written(), "metadata": metadata })
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
