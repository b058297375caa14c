//! Configurations of others, document by document: each is in force, or told. Where the check runs they must be there; a
//! user's clone may lack them.

use super::*;
use model::{Code, Finding};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What became of the documents of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Of a kind that is read, without a fault.
    read: usize,
    /// Of these, with a finding about them.
    told: usize,
    /// Of a kind that is read, and refused.
    refused: usize,
    /// By kind, those of kinds that are not read.
    unread: BTreeMap<String, usize>,
}

/// Folders, and the least that is read of them.
const FOLDERS: [(&str, usize); 4] =
    [("gateway-conformance", 340), ("istio-samples", 62), ("istio-gateway", 65), ("istio-analyze", 134)];

#[test]
fn of_every_document_of_others_something_is_in_force_or_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if !root.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "{} is absent", root.display());
        eprintln!("skipped: {} is absent", root.display());
        return;
    }
    for (folder, least) in FOLDERS {
        let mut counts = Counts::default();
        for file in files(&root.join(folder)) {
            one_file(&file, &mut counts);
        }
        let unread: usize = counts.unread.values().sum();
        eprintln!(
            "corpus {folder}: {} read, {} of them with findings; {} refused; {unread} of kinds that are not read: {:?}",
            counts.read, counts.told, counts.refused, counts.unread
        );
        assert!(counts.read >= least, "{folder}: only {} objects were read", counts.read);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Texts of the documents in a file; what has no content is none.
fn documents(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in text.lines() {
        match line.trim_end() == "---" || line.starts_with("--- ") {
            true => all.push(String::new()),
            false => all.iter_mut().last().unwrap().push_str(&format!("{line}\n")),
        }
    }
    let has_content =
        |text: &String| text.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    all.into_iter().filter(has_content).collect()
}

fn one_file(path: &Path, counts: &mut Counts) {
    // A test of the conformance suite names the class of the gateways that are tested.
    let text = fs::read_to_string(path).unwrap().replace("{GATEWAY_CLASS_NAME}", "leno");
    let mut world = World::new(place());
    let mut objects = Vec::new();
    for document in documents(&text) {
        let (read, findings) = api::parse::documents(&document, "f.yaml");
        assert!(!read.is_empty() || !findings.is_empty(), "{}: lost:\n{document}", path.display());
        for finding in &findings {
            match finding.code {
                Code::Replaced | Code::UnknownKind | Code::Foreign => {
                    *counts.unread.entry(finding.origin.object.kind.to_string()).or_default() += 1;
                }
                _ => {}
            }
        }
        let is_refused =
            |finding: &&Finding| !matches!(finding.code, Code::Replaced | Code::UnknownKind | Code::Foreign);
        counts.refused += usize::from(read.is_empty() && findings.iter().any(|finding| is_refused(&finding)));
        objects.extend(read.into_iter().map(Arc::new));
    }
    for object in &objects {
        world.apply(WorldChange::Object(Arc::clone(object)));
    }
    let findings = world.findings();
    for object in &objects {
        let is_told = findings.iter().any(|finding| finding.origin.object == object.object);
        counts.read += 1;
        counts.told += usize::from(is_told);
        assert!(
            is_told || is_in_force(object, &world),
            "{}: {} has no effect, and nothing is said of it",
            path.display(),
            object.object
        );
    }
}

/// Whether something was made of an object.
fn is_in_force(object: &Object, world: &World) -> bool {
    let key = (object.meta.namespace.clone(), object.meta.name.clone());
    let outputs = &world.outputs;
    match &object.spec {
        Spec::Service(_) => outputs.service.contains_key(&key),
        Spec::Gateway(_) => outputs.gateway.contains_key(&key),
        Spec::HttpRoute(_) => outputs.http_route.get(&key).is_some_and(|route| !route.rules.is_empty()),
        Spec::DestinationRule(_) => outputs.destination_rule.contains_key(&key),
        // One without hosts is what others delegate to.
        Spec::VirtualService(spec) => {
            let compiled = outputs.virtual_service.get(&key);
            spec.is_delegate()
                || compiled.is_some_and(|own| !own.rules.is_empty() || !own.l4_rules.is_empty())
        }
        Spec::IstioGateway(_) => outputs.gateway.contains_key(&key),
        // Each of their fields that says something is told.
        Spec::Sidecar(_) | Spec::ProxyConfig(_) => true,
        _ => true,
    }
}
