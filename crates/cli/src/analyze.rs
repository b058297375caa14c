//! `leno analyze`: findings of local files, by the same translation that a control plane uses, or of the
//! control plane that runs.

use crate::console::Console;
use crate::exit::{self, Failure, Outcome};
use crate::load::{self, Strict};
use crate::remote::{self, Server};
use crate::show;
use model::{Finding, Locality, Severity, TrustDomain};
use serde_json::{Value, json};
use std::sync::Arc;
use translate::{LocalCluster, World, WorldChange};

/// Arguments of `analyze`.
#[derive(Debug, clap::Args)]
pub struct Analyze {
    /// Files or directories; without any, the control plane is asked
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    filename: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: AnalyzeOutput,
    #[command(flatten)]
    strict: Strict,
    #[command(flatten)]
    server: Server,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum AnalyzeOutput {
    #[default]
    Text,
    Json,
}

pub(crate) async fn run(args: &Analyze, console: &mut Console) -> Outcome {
    let mut loaded = load::load(&args.filename)?;
    let (findings, what) = if args.filename.is_empty() {
        let remote = args.server.remote()?;
        let report = remote.get("/leno/v1/findings").await?;
        (remote::findings(&report), remote.url().to_owned())
    } else {
        let mut findings = std::mem::take(&mut loaded.findings);
        for finding in world_findings(&loaded.objects, &findings)? {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        (findings, show::count(loaded.objects.len(), "object"))
    };
    match args.output {
        AnalyzeOutput::Json => console.data(&format!("{:#}\n", json!({ "findings": list(&findings) }))),
        AnalyzeOutput::Text => show::findings(console, &findings, |file| loaded.text_of(file)),
    }
    let is_error =
        |finding: &&Finding| finding.code.level() == Severity::Error || args.strict.forbids(finding);
    let errors = findings.iter().filter(is_error).count();
    if findings.is_empty() {
        console.say(&format!("nothing found in {what}"));
    } else {
        let rest = show::count(findings.len() - errors, "other finding");
        console.say(&format!("{} and {rest} in {what}", show::count(errors, "error")));
    }
    Ok(if errors > 0 { exit::FINDINGS } else { exit::OK })
}

/// What is wrong with the objects together; `refused` is what was wrong with reading them.
fn world_findings(objects: &[api::Object], refused: &[Finding]) -> Result<Vec<Finding>, Failure> {
    let mut world = world(objects)?;
    world.set_refused(refused);
    Ok(world.findings())
}

/// A cluster with these objects and nobody in it. Its own name does not matter for what is asked of it.
pub(crate) fn world(objects: &[api::Object]) -> Result<World, Failure> {
    world_in(objects, None)
}

/// The same in a mesh of this trust domain; `None`: that of the settings among the objects.
pub(crate) fn world_in(objects: &[api::Object], domain: Option<TrustDomain>) -> Result<World, Failure> {
    // As a control plane is told on its command line; principals in policies have it in front.
    let configured = objects.iter().find_map(|object| match &object.spec {
        api::Spec::MeshSettings(settings) => settings.trust_domain.as_deref(),
        _ => None,
    });
    // One that is wrong is a finding, and not the end of the search for others.
    let trust_domain = domain
        .or_else(|| configured.and_then(TrustDomain::parse))
        .or_else(|| TrustDomain::parse("cluster.local"));
    let trust_domain = trust_domain.ok_or_else(|| Failure::new(exit::FAILED, "no trust domain"))?;
    let place = LocalCluster {
        cluster: "local".into(),
        network: "local".into(),
        locality: Locality::default(),
        trust_domain,
    };
    let mut world = World::new(place);
    for object in objects {
        world.apply(WorldChange::Object(Arc::new(object.clone())));
    }
    Ok(world)
}

fn list(findings: &[Finding]) -> Vec<Value> {
    let one = |finding: &Finding| {
        let (origin, object) = (&finding.origin, &finding.origin.object);
        json!({
            "code": finding.code.as_str(),
            "level": format!("{:?}", finding.code.level()).to_lowercase(),
            "kind": &*object.kind, "namespace": &*object.namespace, "name": &*object.name,
            "file": &*origin.file, "line": origin.line,
            "cause": finding.cause, "fix": finding.fix,
        })
    };
    findings.iter().map(one).collect()
}
