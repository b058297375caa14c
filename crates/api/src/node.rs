//! A document as a tree that knows on which line of the file each part stands.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// A value and its line.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// 1-based line in the file: of the key for entries of a mapping, else of the value.
    pub(crate) line: u32,
    /// What it is.
    pub(crate) value: NodeValue,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum NodeValue {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

impl Node {
    /// The entry of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            NodeValue::Mapping(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The line of the deepest part of `path` (`spec.rules[0].name`) that exists.
    pub(crate) fn line_of(&self, path: &str) -> u32 {
        let mut node = self;
        for part in path.split(['.', '[']) {
            match node.part(part) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.line
    }

    /// What is at `path`.
    pub(crate) fn find(&self, path: &str) -> Option<&Node> {
        path.split(['.', '[']).try_fold(self, Node::part)
    }

    /// One step of a path: `name`, or `0]`.
    fn part(&self, part: &str) -> Option<&Node> {
        match part.strip_suffix(']') {
            Some(index) => match (&self.value, index.parse::<usize>()) {
                (NodeValue::Sequence(items), Ok(index)) => items.get(index),
                _ => None,
            },
            None => self.get(part),
        }
    }

    /// Adds `lines` to every line: from the document's numbering to the file's.
    pub(crate) fn shift(&mut self, lines: u32) {
        self.line += lines;
        match &mut self.value {
            NodeValue::Sequence(items) => items.iter_mut().for_each(|item| item.shift(lines)),
            NodeValue::Mapping(entries) => entries.iter_mut().for_each(|(_, node)| node.shift(lines)),
            NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::String(_) => {}
        }
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            NodeValue::Null => Json::Null,
            NodeValue::Bool(value) => Json::Bool(*value),
            NodeValue::Number(value) => Json::Number(value.clone()),
            NodeValue::String(text) => Json::String(text.clone()),
            NodeValue::Sequence(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            NodeValue::Mapping(entries) => {
                Json::Object(entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for NodeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Reads one node of any sort.
pub(crate) fn from_spanned(spanned: Spanned<NodeValue>) -> Node {
    let line = u32::try_from(spanned.referenced.line()).unwrap_or(u32::MAX);
    Node { line, value: spanned.value }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = NodeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<NodeValue, E> {
        Ok(NodeValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<NodeValue, E> {
        Ok(NodeValue::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<NodeValue, E> {
        Ok(NodeValue::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<NodeValue, E> {
        serde_json::Number::from_f64(value)
            .map(NodeValue::Number)
            .ok_or_else(|| E::custom("number is not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<NodeValue, E> {
        Ok(NodeValue::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<NodeValue, E> {
        Ok(NodeValue::String(text))
    }

    fn visit_unit<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Null)
    }

    fn visit_none<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<NodeValue, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<NodeValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<NodeValue>>()? {
            items.push(from_spanned(item));
        }
        Ok(NodeValue::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<NodeValue, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let mut node = from_spanned(access.next_value::<Spanned<NodeValue>>()?);
            // A field is looked for where its name stands, not where its block begins.
            if let Ok(line @ 1..) = u32::try_from(key.referenced.line()) {
                node.line = line;
            }
            entries.push((key.value, node));
        }
        Ok(NodeValue::Mapping(entries))
    }
}
