//! Kubernetes core `Secret`: certificates with their keys, for listeners in TLS. Its content shows itself nowhere: not in
//! the text that is kept of the object, not in findings, not in debug output (`docs/decisions/0007`).

use super::{KindFields, KindSpec, ObjectKind};
use crate::decode::{self, Ignored};
use crate::meta::{Meta, RawMeta};
use crate::node::{Node, NodeValue};
use crate::validation::ValidationReport;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Code;
use model::listener_tls::SecretString;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// The type of a certificate with its key.
pub const TLS_TYPE: &str = "kubernetes.io/tls";
/// Key of `data`: the chain in PEM.
pub const CERTIFICATE: &str = "tls.crt";
/// Key of `data`: its key in PEM.
pub const PRIVATE_KEY: &str = "tls.key";
/// Key of `data`: authorities in PEM.
pub const AUTHORITIES: &str = "ca.crt";
/// What stands for a value where the object is shown.
pub const REDACTED: &str = "REDACTED";
/// `kubectl apply` keeps the whole object in it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What a `Secret` holds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SecretSpec {
    /// Absent: `Opaque`.
    pub secret_type: String,
    /// Texts by key, out of `data` and `stringData`; of types that are not read, none.
    #[serde(skip)]
    pub data: BTreeMap<String, SecretString>,
}

/// It has no `spec`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretDocument {
    api_version: String,
    #[serde(rename = "kind")]
    _kind: Ignored,
    metadata: RawMeta,
    #[serde(rename = "type", default)]
    secret_type: Option<String>,
    #[serde(default)]
    data: BTreeMap<String, Hidden>,
    #[serde(default)]
    string_data: BTreeMap<String, Hidden>,
    /// What the API keeps of it is up to whoever writes the file.
    #[serde(rename = "immutable", default)]
    _immutable: Option<bool>,
}

impl KindSpec for SecretSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        short: &[],
        group: "",
        versions: &["v1"],
        namespaced: true,
        doc: "A certificate with its key; read from files of their owner alone, never stored",
        columns: &[("TYPE", "type")],
    };

    fn read(document: &Node, report: &mut ValidationReport<'_>) -> Option<KindFields<Self>> {
        for field in ["data", "stringData"] {
            let value = document.get(field).map(|found| &found.value);
            if !matches!(value, None | Some(NodeValue::Mapping(_) | NodeValue::Null)) {
                // Before it is read as one, which would say what it is.
                report.bad(field, "is no mapping", "write a mapping of keys to texts");
                return None;
            }
        }
        let found = decode::decode::<SecretDocument>(document, &[]);
        report.refuse_all(found.problems);
        let SecretDocument { api_version, mut metadata, secret_type, data, string_data, .. } = found.value?;
        metadata.annotations.remove(LAST_APPLIED);
        let secret_type = secret_type.unwrap_or_else(|| "Opaque".to_owned());
        let mut spec = Self { secret_type, data: BTreeMap::new() };
        // Those of other types are for others, and not kept at all.
        if spec.secret_type == TLS_TYPE || spec.secret_type == "Opaque" {
            for (key, value) in data {
                match base64(value.0.expose()).and_then(|bytes| String::from_utf8(bytes).ok()) {
                    Some(text) => _ = spec.data.insert(key, SecretString::new(text)),
                    None if [CERTIFICATE, PRIVATE_KEY, AUTHORITIES].contains(&&*key) => {
                        let fix = "write it in base64, or write the text itself in `stringData`";
                        report.bad_entry("data", &key, "is not base64 of a text", fix);
                    }
                    None => {}
                }
            }
            spec.data.extend(string_data.into_iter().map(|(key, value)| (key, value.0)));
        }
        Some(KindFields { api_version, metadata, spec })
    }

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        if self.secret_type != TLS_TYPE {
            return;
        }
        for key in [CERTIFICATE, PRIVATE_KEY] {
            if !self.data.contains_key(key) {
                let cause = format!("has no `{key}`, which type {TLS_TYPE} needs");
                report.refuse(Code::MissingField, "data", &cause, format!("add `{key}`"));
            }
        }
    }
}

/// A document as it may be shown: every value of a Secret is [`REDACTED`]. Any other document is as it was.
pub(crate) fn redacted(node: &Node) -> Node {
    let mut shown = node.clone();
    let NodeValue::Mapping(fields) = &mut shown.value else { return shown };
    for (name, field) in fields {
        match (name.as_str(), &mut field.value) {
            ("data" | "stringData", value) => hide(value),
            ("metadata", NodeValue::Mapping(parts)) => {
                let annotations = parts.iter_mut().find(|(name, _)| name == "annotations");
                if let Some((_, Node { value: NodeValue::Mapping(annotations), .. })) = annotations {
                    annotations.retain(|(name, _)| name != LAST_APPLIED);
                }
            }
            _ => {}
        }
    }
    shown
}

fn hide(value: &mut NodeValue) {
    match value {
        NodeValue::Mapping(entries) => {
            for (_, entry) in entries {
                entry.value = NodeValue::String(REDACTED.to_owned());
            }
        }
        other => *other = NodeValue::String(REDACTED.to_owned()),
    }
}

/// A text that is not shown, in errors neither.
struct Hidden(SecretString);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Hidden;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hidden, E> {
                Ok(Hidden(SecretString::new(text.to_owned())))
            }

            // What it is must not be said: it may be the secret.
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Hidden, E> {
                Err(E::custom("is not a string"))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Hidden, E> {
                Err(E::custom("is not a string"))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Hidden, E> {
                Err(E::custom("is not a string"))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Hidden, E> {
                Err(E::custom("is not a string"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// Base64, line breaks let through, as Kubernetes reads it; `None`: it is none.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).ok()
}

#[cfg(test)]
mod tests;
