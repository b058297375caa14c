//! `leno get`: objects as a table, or as they are.

use crate::console::Console;
use crate::exit::{self, Failure, Outcome};
use crate::naming::{self, ObjectSelector};
use crate::remote::{Remote, Server};
use crate::show;
use api::kinds::ObjectKind;
use serde_json::{Value, json};

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = naming::kinds_help())]
pub struct Get {
    /// KIND, KIND/NAME or KIND NAME..., for example httproutes or svc/web
    #[arg(value_name = "KIND[/NAME]", required = true)]
    what: Vec<String>,
    /// Namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Table,
    Yaml,
    Json,
    Name,
}

pub(crate) async fn run(args: &Get, console: &mut Console) -> Outcome {
    let wanted = naming::parse(&args.what)?;
    let namespace = match args.all_namespaces {
        true => None,
        false => Some(naming::check_name(&args.namespace)?),
    };
    let remote = args.server.remote()?;
    let mut found: Vec<(&'static ObjectKind, Value)> = Vec::new();
    for ObjectSelector { kind, name } in &wanted {
        let value = fetch(&remote, kind, namespace.as_deref(), name.as_deref()).await?;
        match value.get("items").and_then(Value::as_array) {
            Some(items) => found.extend(items.iter().map(|item| (*kind, item.clone()))),
            None => found.push((kind, value)),
        }
    }
    let is_one_object = wanted.len() == 1 && wanted.iter().all(|w| w.name.is_some());
    match args.output {
        Output::Json => console.data(&format!("{:#}\n", whole(found, is_one_object))),
        Output::Yaml => console.data(&yaml(&whole(found, is_one_object))?),
        Output::Name => {
            found.iter().for_each(|(kind, item)| {
                console.data(&format!("{}\n", naming::display(kind, meta(item, "name"))))
            });
        }
        _ if found.is_empty() => match &namespace {
            Some(namespace) => console.say(&format!("no resources found in namespace {namespace}")),
            None => console.say("no resources found"),
        },
        _ => console.data(&tables(&found, args.all_namespaces)),
    }
    Ok(exit::OK)
}

/// One object or a list. An object that is named but cannot have a namespace is still found with `-A`.
async fn fetch(
    remote: &Remote,
    kind: &ObjectKind,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<Value, Failure> {
    if let (None, Some(name), true) = (namespace, name, kind.namespaced) {
        let mut list = remote.get(&naming::path(kind, None, None)).await?;
        if let Some(items) = list.get_mut("items").and_then(Value::as_array_mut) {
            items.retain(|item| meta(item, "name") == name);
        }
        return Ok(list);
    }
    remote.get(&naming::path(kind, namespace, name)).await
}

/// What was found as one document that `leno apply` and kubectl read: the object itself, or a list.
fn whole(mut found: Vec<(&'static ObjectKind, Value)>, is_one_object: bool) -> Value {
    match found.pop() {
        Some((_, item)) if is_one_object && found.is_empty() => item,
        last => {
            found.extend(last);
            let items: Vec<_> = found.into_iter().map(|(_, item)| item).collect();
            json!({ "apiVersion": "v1", "kind": "List", "items": items })
        }
    }
}

fn yaml(value: &Value) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(value).map_err(|cause| {
        Failure::from(anyhow::Error::new(cause).context("the answer cannot be written as YAML; use -o json"))
    })?;
    Ok(format!("{}\n", text.trim_end()))
}

/// One table for each kind, an empty line between.
fn tables(found: &[(&'static ObjectKind, Value)], with_namespace: bool) -> String {
    let chunks = found.chunk_by(|a, b| a.0.kind == b.0.kind);
    let tables = chunks.map(|chunk| {
        let Some((kind, _)) = chunk.first() else { return String::new() };
        let with_namespace = with_namespace && kind.namespaced;
        let columns = kind.columns;
        let mut header: Vec<&str> = if with_namespace { vec!["NAMESPACE"] } else { Vec::new() };
        header.push("NAME");
        header.extend(columns.iter().map(|(title, _)| *title));
        let row = |(_, item): &(&ObjectKind, Value)| {
            let mut row = if with_namespace { vec![meta(item, "namespace").to_owned()] } else { Vec::new() };
            row.push(meta(item, "name").to_owned());
            row.extend(columns.iter().map(|(_, pointer)| cell(item, pointer)));
            row
        };
        show::table(&header, &chunk.iter().map(row).collect::<Vec<_>>())
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn meta<'v>(item: &'v Value, name: &str) -> &'v str {
    item["metadata"][name].as_str().unwrap_or_default()
}

/// What lies at a place, as one cell.
fn cell(item: &Value, place: &str) -> String {
    let mut values = vec![item];
    for step in place.split('.') {
        let (name, each) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let next = values.into_iter().filter_map(|value| value.get(name));
        values = match each {
            true => next.filter_map(Value::as_array).flatten().collect(),
            false => next.collect(),
        };
    }
    let texts: Vec<String> = values.into_iter().map(text).filter(|text| !text.is_empty()).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(",") }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
