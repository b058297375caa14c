//! Every field of Istio's networking kinds, and what becomes of it: a row for each. Where Istio's own definitions lie
//! beside the repository, no field of theirs is without one.

use crate::parse::documents;
use crate::parse::tests::corpus;
use model::Finding;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is in the object, and nothing is said of it.
    Read,
    /// The object is used; a warning names the field, or one that it is in, at its line.
    Told,
    /// The object is refused; an error names the field, or one that it is in, at its line.
    Refused,
}

/// Kind, and the least that an object of it says.
const BASES: [(&str, &str); 5] = [
    ("VirtualService", "{hosts: [a], http: [{route: [{destination: {host: a}}]}]}"),
    ("DestinationRule", "{host: a}"),
    ("Gateway", "{servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: [a.example.com]}]}"),
    ("Sidecar", "{}"),
    ("ProxyConfig", "{}"),
];

/// What has to stand beside a field for it to mean something: a path, what is put there; `null`: what is taken away.
const BESIDE: &[(&str, &str, &str)] = &[
    ("spec.http[].redirect.", "spec.http[].route", "null"),
    ("spec.http[].directResponse.", "spec.http[].route", "null"),
    ("spec.http[].directResponse.", "spec.http[].directResponse.status", "200"),
    ("spec.http[].delegate.", "spec.http[].route", "null"),
    ("spec.http[].delegate.", "spec.http[].delegate.name", "d"),
    ("spec.http[].fault.delay.", "spec.http[].fault.delay.fixedDelay", "5s"),
    ("spec.http[].fault.delay.exponentialDelay", "spec.http[].fault.delay.fixedDelay", "null"),
    ("spec.http[].fault.delay.", "spec.http[].fault.delay.percentage.value", "10"),
    ("spec.http[].fault.abort.", "spec.http[].fault.abort.percentage.value", "10"),
    ("spec.http[].fault.abort.percentage", "spec.http[].fault.abort.httpStatus", "500"),
    ("spec.http[].rewrite.uriRegexRewrite.", "spec.http[].rewrite.uriRegexRewrite.match", "a"),
    ("spec.http[].rewrite.uriRegexRewrite.", "spec.http[].rewrite.uriRegexRewrite.rewrite", "b"),
    ("spec.http[].retries.", "spec.http[].retries.attempts", "3"),
    ("spec.http[].mirror.", "spec.http[].mirror.host", "b"),
    ("spec.http[].mirrorPerc", "spec.http[].mirror.host", "b"),
    ("spec.http[].mirror_percent", "spec.http[].mirror.host", "b"),
    ("spec.http[].mirrors[].", "spec.http[].mirrors[].destination.host", "b"),
    ("spec.tcp[].", "spec.http", "null"),
    ("spec.tcp[].", "spec.tcp[].route[].destination.host", "b"),
    ("spec.tls[].", "spec.http", "null"),
    ("spec.tls[].", "spec.tls[].match[].sniHosts[]", "a"),
    ("spec.tls[].", "spec.tls[].route[].destination.host", "b"),
    ("spec.host", "spec.subsets[].name", "v1"),
    ("spec.exportTo[]", "spec.subsets[].name", "v1"),
    ("spec.workloadSelector.", "spec.subsets[].name", "v1"),
    ("spec.subsets[].", "spec.subsets[].name", "v1"),
    ("spec.trafficPolicy.portLevelSettings[].", "spec.trafficPolicy.portLevelSettings[].port.number", "80"),
    (
        "spec.subsets[].trafficPolicy.portLevelSettings[].",
        "spec.subsets[].trafficPolicy.portLevelSettings[].port.number",
        "80",
    ),
    ("spec.trafficPolicy.tls.", "spec.trafficPolicy.tls.mode", "SIMPLE"),
    ("spec.trafficPolicy.tls.clientCertificate", "spec.trafficPolicy.tls.privateKey", "/k"),
    ("spec.trafficPolicy.tls.clientCertificate", "spec.trafficPolicy.tls.mode", "MUTUAL"),
    ("spec.trafficPolicy.tls.privateKey", "spec.trafficPolicy.tls.clientCertificate", "/c"),
    ("spec.trafficPolicy.tls.privateKey", "spec.trafficPolicy.tls.mode", "MUTUAL"),
    ("spec.servers[].tls.", "spec.servers[].port.protocol", "HTTPS"),
    ("spec.servers[].tls.", "spec.servers[].tls.mode", "OPTIONAL_MUTUAL"),
    ("spec.servers[].tls.", "spec.servers[].tls.serverCertificate", "/c"),
    ("spec.servers[].tls.", "spec.servers[].tls.privateKey", "/k"),
];

/// `VERDICT PATH VALUE`. Where a path begins with a word in capitals, it stands for each of [`PLACES`].
const FIELDS: &str = include_str!("istio_fields.txt");

/// Kind and path of what several fields have.
const PLACES: &[(&str, &str, &str)] = &[
    ("POLICY", "DestinationRule", "spec.trafficPolicy"),
    ("POLICY", "DestinationRule", "spec.subsets[].trafficPolicy"),
    ("EACH", "DestinationRule", "spec.trafficPolicy.portLevelSettings[]"),
    ("EACH", "DestinationRule", "spec.subsets[].trafficPolicy.portLevelSettings[]"),
    ("PORT", "DestinationRule", "spec.trafficPolicy"),
    ("PORT", "DestinationRule", "spec.trafficPolicy.portLevelSettings[]"),
    ("PORT", "DestinationRule", "spec.subsets[].trafficPolicy"),
    ("PORT", "DestinationRule", "spec.subsets[].trafficPolicy.portLevelSettings[]"),
    ("HOSTPOOL", "DestinationRule", "spec.trafficPolicy.connectionPool"),
    ("HOSTPOOL", "DestinationRule", "spec.subsets[].trafficPolicy.connectionPool"),
    ("POOL", "DestinationRule", "spec.trafficPolicy.portLevelSettings[].connectionPool"),
    ("POOL", "DestinationRule", "spec.subsets[].trafficPolicy.portLevelSettings[].connectionPool"),
    ("POOL", "Sidecar", "spec.inboundConnectionPool"),
    ("HEADERS", "VirtualService", "spec.http[].headers"),
    ("HEADERS", "VirtualService", "spec.http[].route[].headers"),
];

struct Row {
    verdict: Verdict,
    kind: &'static str,
    path: String,
    value: Value,
}

fn rows() -> Vec<Row> {
    let (mut kind, mut rows) = ("", Vec::new());
    for line in FIELDS.lines().filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("# ") {
            kind = name;
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let verdict = match words.next().unwrap() {
            "read" => Verdict::Read,
            "told" => Verdict::Told,
            "refused" => Verdict::Refused,
            other => panic!("{other}"),
        };
        let path = words.next().unwrap();
        let value: Value = serde_saphyr::from_str(words.next().unwrap()).unwrap();
        let places: Vec<(&'static str, String)> = match path.split_once('.') {
            Some((word, rest)) if word != "spec" => {
                let of = PLACES.iter().filter(|(own, ..)| *own == word);
                of.map(|(_, kind, at)| (*kind, format!("{at}.{rest}"))).collect()
            }
            _ => vec![(kind, path.to_owned())],
        };
        assert!(!places.is_empty(), "{line}");
        rows.extend(places.into_iter().map(|(kind, path)| Row { verdict, kind, path, value: value.clone() }));
    }
    rows
}

/// Paths of the fields that are told, in lower case and without brackets.
pub(crate) fn told() -> impl Iterator<Item = String> {
    let rows = rows().into_iter().filter(|row| row.verdict == Verdict::Told);
    rows.map(|row| row.path.to_ascii_lowercase().replace("[]", "").replace("{}", ""))
}

/// Puts a value to a path of `spec.a[].b{}`; lists get one element, maps the key `x-a`.
fn put(spec: &mut Value, path: &str, value: Value) {
    let mut place = spec;
    let steps: Vec<&str> = path.split('.').skip(1).collect();
    for (index, step) in steps.iter().enumerate() {
        let name = step.trim_end_matches("[]").trim_end_matches("{}");
        if value.is_null() && index + 1 == steps.len() {
            if let Value::Object(fields) = place {
                fields.remove(name);
            }
            return;
        }
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[name];
        if step.ends_with("[]") {
            if !place.is_array() {
                *place = json!([null]);
            }
            place = &mut place[0];
        } else if step.ends_with("{}") {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place["x-a"];
        }
    }
    *place = value;
}

fn document(row: &Row) -> String {
    let (_, base) = BASES.iter().find(|(kind, _)| *kind == row.kind).unwrap();
    let mut spec: Value = serde_saphyr::from_str(base).unwrap();
    let places = PLACES.iter().filter(|(word, ..)| *word == "PORT").map(|(.., place)| *place);
    let tls = places.flat_map(|place| {
        let at = move |path: &str| path.replacen("spec.trafficPolicy", place, 1);
        let own = BESIDE.iter().filter(|(prefix, ..)| prefix.starts_with("spec.trafficPolicy.tls."));
        own.map(move |(prefix, path, value)| (at(prefix), at(path), *value))
    });
    let others = BESIDE.iter().filter(|(prefix, ..)| !prefix.starts_with("spec.trafficPolicy.tls."));
    let others = others.map(|(prefix, path, value)| ((*prefix).to_owned(), (*path).to_owned(), *value));
    for (prefix, path, value) in others.chain(tls) {
        let is_own = prefix != "spec.host" || row.kind == "DestinationRule";
        if row.path.starts_with(&prefix) && path != row.path && is_own && is_of(row.kind, &path) {
            put(&mut spec, &path, serde_saphyr::from_str(value).unwrap());
        }
    }
    put(&mut spec, &row.path, row.value.clone());
    let version = if row.kind == "ProxyConfig" { "v1beta1" } else { "v1" };
    let document = json!({
        "apiVersion": format!("networking.istio.io/{version}"), "kind": row.kind,
        "metadata": {"name": "x"}, "spec": spec,
    });
    format!("{document:#}\n")
}

/// Subsets are for DestinationRules alone, which share names of fields with others.
fn is_of(kind: &str, path: &str) -> bool {
    !path.starts_with("spec.subsets") || kind == "DestinationRule"
}

/// Whether a finding names the field at `path`, or one that it is in, at the line where that stands.
fn names(finding: &Finding, path: &str, text: &str) -> bool {
    let Some(named) = finding.cause.split('`').nth(1) else { return false };
    let plain = |text: &str| {
        text.replace("[0]", "").replace("[]", "").replace("{}", "").replace("[x-a]", "").replace(".x-a", "")
    };
    let (named, path) = (plain(named), plain(path));
    let last = named.rsplit('.').next().unwrap_or_default();
    let line = text.lines().nth(finding.origin.line as usize - 1).unwrap_or_default();
    let is_its_line =
        line.contains(&format!("\"{last}\"")) || line.contains("\"x-a\"") || line.trim_start() == "{";
    (path == named || path.starts_with(&format!("{named}."))) && is_its_line
}

#[test]
fn every_field_becomes_what_its_row_says() {
    let rows = rows();
    let mut wrong = Vec::new();
    for row in &rows {
        let text = document(row);
        let (objects, findings) = documents(&text, "f.yaml");
        let warnings: Vec<Finding> = objects.iter().flat_map(|object| object.warnings.to_vec()).collect();
        let said = |list: &[Finding]| list.iter().any(|finding| names(finding, &row.path, &text));
        let good = match row.verdict {
            Verdict::Read => objects.len() == 1 && findings.is_empty() && warnings.is_empty(),
            Verdict::Told => objects.len() == 1 && findings.is_empty() && said(&warnings),
            Verdict::Refused => objects.is_empty() && said(&findings),
        };
        if !good {
            let all: Vec<String> = findings.iter().chain(&warnings).map(ToString::to_string).collect();
            wrong.push(format!("{:?} {} {}: {all:#?}", row.verdict, row.kind, row.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows.len() > 450, "only {} rows", rows.len());
}

#[test]
fn no_field_of_istios_definitions_is_without_a_row() {
    let Some(root) = corpus() else { return };
    let text = std::fs::read_to_string(root.join("crds/istio/customresourcedefinitions.gen.yaml")).unwrap();
    let rows: BTreeSet<(&str, String)> = rows().into_iter().map(|row| (row.kind, row.path)).collect();
    let mut missing = BTreeSet::new();
    let mut defined = BTreeSet::new();
    for document in crate::scan::documents(&text) {
        let Ok(definition) = serde_saphyr::from_str::<Value>(document.text) else { continue };
        let Some(kind) = definition["spec"]["names"]["kind"].as_str() else { continue };
        let Some((kind, _)) = BASES.iter().find(|(own, _)| *own == kind) else { continue };
        for version in definition["spec"]["versions"].as_array().unwrap() {
            let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
            leaves(schema, "spec", &mut |path| {
                defined.insert((*kind, path.to_owned()));
                if !covers(&rows, kind, path) {
                    missing.insert(format!("{kind} {path}"));
                }
            });
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    let unknown: Vec<_> = rows
        .iter()
        .filter(|row| !defined.iter().any(|(kind, path)| *kind == row.0 && path.starts_with(row.1.as_str())))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// A row for a field covers what is in it, if it says that the whole is refused or told.
fn covers(rows: &BTreeSet<(&str, String)>, kind: &str, path: &str) -> bool {
    let cuts = path.match_indices(['.', '[', '{']).map(|(at, _)| &path[..at]).chain([path]);
    cuts.into_iter().any(|cut| rows.contains(&(kind, cut.to_owned())))
}

/// The fields of a schema that hold a value.
fn leaves(schema: &Value, path: &str, found: &mut impl FnMut(&str)) {
    if let Some(fields) = schema["properties"].as_object() {
        fields.iter().for_each(|(name, field)| leaves(field, &format!("{path}.{name}"), found));
    } else if schema["items"].is_object() {
        leaves(&schema["items"], &format!("{path}[]"), found);
    } else if schema["additionalProperties"].is_object() {
        leaves(&schema["additionalProperties"], &format!("{path}{{}}"), found);
    } else {
        found(path);
    }
}
