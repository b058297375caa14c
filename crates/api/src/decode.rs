//! From the tree to the typed kinds, with every unknown field found at once and the line of each error.
//!
//! A field named `$line` receives the line of its struct; [`Unsupported`] is a field that exists but is not
//! supported yet (a finding), [`Ignored`] one that is accepted and ignored (a warning: `ignored`).

use crate::node::{Node, NodeValue};
use crate::suggest;
use model::{Code, Finding, Origin};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor,
};
use std::cell::RefCell;
use std::fmt::{self, Write as _};

/// A field that the mesh accepts and ignores, with its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// 1-based line in the file.
    pub line: u32,
}

/// A field that is not supported yet; using it is a finding, so a checked object never has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// 1-based line in the file.
    pub line: u32,
}

/// A finding before it has an origin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) line: u32,
    pub(crate) cause: String,
    pub(crate) fix: String,
}

impl Problem {
    /// As a finding about the object at `origin`, at the problem's own line.
    pub(crate) fn at(self, origin: &Origin) -> Finding {
        let Self { code, line, cause, fix } = self;
        Finding { code, origin: Origin { line, ..origin.clone() }, cause, fix }
    }
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Decoded<T> {
    /// Without it there is at least one problem; with it there may be.
    pub(crate) value: Option<T>,
    pub(crate) problems: Vec<Problem>,
    /// Paths of the fields that are [`Ignored`].
    pub(crate) ignored: Vec<String>,
}

/// What to do about a field that is not supported yet, where removing it would mean something else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnsupportedField {
    /// How its path ends.
    pub(crate) path: &'static str,
    pub(crate) fix: &'static str,
}

/// Reads `node` as a `T`; `unsupported` is what is known of its fields of the type [`Unsupported`].
pub(crate) fn decode<T: DeserializeOwned>(
    node: &Node,
    unsupported: &'static [UnsupportedField],
) -> Decoded<T> {
    let context = DecodeContext { unsupported, ..DecodeContext::default() };
    let result = T::deserialize(NodeDeserializer { node, context: &context });
    let path = context.path();
    let (mut problems, ignored) = (context.problems.into_inner(), context.ignored.into_inner());
    let value = result.map_err(|error| problems.push(error.into_problem(&path, node.line_of(&path)))).ok();
    Decoded { value, problems, ignored }
}

/// Reads `node` as a `T`; `None` when any of it was not understood.
pub(crate) fn whole<T: DeserializeOwned>(node: &Node) -> Option<T> {
    let found = decode::<T>(node, &[]);
    found.value.filter(|_| found.problems.is_empty())
}

const LINE_FIELD: &str = "$line";
const UNSUPPORTED: &str = "$unsupported";
const IGNORED: &str = "$ignored";

#[derive(Default)]
struct DecodeContext {
    unsupported: &'static [UnsupportedField],
    path: RefCell<Vec<PathSegment>>,
    problems: RefCell<Vec<Problem>>,
    ignored: RefCell<Vec<String>>,
}

enum PathSegment {
    Key(String),
    Index(usize),
}

impl DecodeContext {
    fn path(&self) -> String {
        let mut text = String::new();
        for segment in self.path.borrow().iter() {
            // Writing to a String cannot fail.
            let _ = match segment {
                PathSegment::Key(key) if text.is_empty() => write!(text, "{key}"),
                PathSegment::Key(key) => write!(text, ".{key}"),
                PathSegment::Index(index) => write!(text, "[{index}]"),
            };
        }
        text
    }

    fn report(&self, code: Code, line: u32, cause: String, fix: String) {
        self.problems.borrow_mut().push(Problem { code, line, cause, fix });
    }

    /// Reads one part; the path keeps its last segment when that fails, so the error can be placed.
    fn step<'a, S: DeserializeSeed<'a>>(
        &'a self,
        segment: PathSegment,
        node: &'a Node,
        seed: S,
    ) -> Result<S::Value, FieldError> {
        self.path.borrow_mut().push(segment);
        let value = seed.deserialize(NodeDeserializer { node, context: self })?;
        self.path.borrow_mut().pop();
        Ok(value)
    }

    fn unknown_field(&self, key: &str, line: u32, fields: &[&str]) {
        let path = self.path();
        let full = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let known: Vec<&str> = fields.iter().copied().filter(|field| *field != LINE_FIELD).collect();
        let fix = match suggest::nearest(key, &known) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("fields allowed here: {}", known.join(", ")),
        };
        self.report(Code::UnknownField, line, format!("unknown field `{full}`"), fix);
    }
}

/// Why a part could not be read.
#[derive(Debug)]
struct FieldError {
    code: Code,
    cause: String,
    fix: String,
    field: Option<String>,
}

impl FieldError {
    fn into_problem(self, path: &str, line: u32) -> Problem {
        let full = match (&self.field, path) {
            (Some(field), "") => field.clone(),
            (Some(field), _) => format!("{path}.{field}"),
            (None, _) => path.to_owned(),
        };
        Problem { code: self.code, line, cause: format!("`{full}` {}", self.cause), fix: self.fix }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for FieldError {}

/// Serde's names of number types, in a reader's words.
fn expected(what: &dyn de::Expected) -> String {
    match what.to_string().as_str() {
        // Ports and statuses: there is no zero among them.
        "u16" => "a number from 1 to 65535".to_owned(),
        "u32" | "u64" => "a whole number from 0".to_owned(),
        other if other.starts_with("struct ") => "a mapping of fields".to_owned(),
        other => other.to_owned(),
    }
}

/// Serde's names of what is there, in a writer's words.
fn found(unexpected: &de::Unexpected<'_>) -> String {
    match unexpected {
        de::Unexpected::Unit => "null".to_owned(),
        de::Unexpected::Map => "a mapping".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Bool(value) => format!("`{value}`"),
        de::Unexpected::Unsigned(value) => format!("`{value}`"),
        de::Unexpected::Signed(value) => format!("`{value}`"),
        de::Unexpected::Float(value) => format!("`{value}`"),
        de::Unexpected::Str(text) => format!("the string \"{text}\""),
        other => other.to_string(),
    }
}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let fix = "correct the value".to_owned();
        Self { code: Code::BadValue, cause: message.to_string(), fix, field: None }
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, what: &dyn de::Expected) -> Self {
        let expected = expected(what);
        let is_scalar = !matches!(unexpected, de::Unexpected::Map | de::Unexpected::Seq);
        let fix = match unexpected {
            _ if is_scalar && expected.contains("string") => "put it in quotes".to_owned(),
            de::Unexpected::Str(text) if text.parse::<f64>().is_ok() && expected.contains("number") => {
                format!("write {expected}, without quotes")
            }
            _ => format!("write {expected}"),
        };
        let found = found(&unexpected);
        Self { code: Code::BadValue, cause: format!("is {found}, not {expected}"), fix, field: None }
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, what: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, what)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let fix = match suggest::nearest(variant, known) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("write one of {}", known.join(", ")),
        };
        Self { code: Code::BadValue, cause: format!("cannot be `{variant}`"), fix, field: None }
    }

    fn missing_field(field: &'static str) -> Self {
        let (cause, fix) = ("is missing".to_owned(), format!("add `{field}`"));
        Self { code: Code::MissingField, cause, fix, field: Some(field.to_owned()) }
    }
}

struct NodeDeserializer<'a> {
    node: &'a Node,
    context: &'a DecodeContext,
}

impl<'a> NodeDeserializer<'a> {
    fn entries(self, fields: Option<&'static [&'static str]>) -> Entries<'a> {
        let entries = match &self.node.value {
            NodeValue::Mapping(entries) => entries.as_slice(),
            _ => &[],
        };
        let wants_line = fields.is_some_and(|fields| fields.contains(&LINE_FIELD));
        if let Some(fields) = fields {
            for (key, node) in entries {
                if key == LINE_FIELD || !fields.contains(&key.as_str()) {
                    self.context.unknown_field(key, node.line, fields);
                }
            }
        }
        Entries {
            entries,
            fields,
            line: wants_line.then_some(self.node.line),
            next: None,
            context: self.context,
        }
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match &self.node.value {
            NodeValue::Null => visitor.visit_unit(),
            NodeValue::Bool(value) => visitor.visit_bool(*value),
            NodeValue::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                // `1.0` is a whole number, as it is for kubectl.
                (_, _, Some(value))
                    if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) =>
                {
                    visitor.visit_u64(value as u64)
                }
                (_, _, Some(value)) => visitor.visit_f64(value),
                _ => visitor.visit_unit(),
            },
            NodeValue::String(text) => visitor.visit_borrowed_str(text),
            NodeValue::Sequence(items) => {
                visitor.visit_seq(Items { items: items.iter().enumerate(), context: self.context })
            }
            NodeValue::Mapping(_) => visitor.visit_map(self.entries(None)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match &self.node.value {
            NodeValue::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match &self.node.value {
            NodeValue::Mapping(_) => visitor.visit_map(self.entries(Some(fields))),
            _ => self.deserialize_any(OnlyMapping(visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self.node.as_str() {
            Some(text) => visitor.visit_enum(StrDeserializer::<FieldError>::new(text)),
            None => Err(FieldError {
                code: Code::BadValue,
                cause: "is not a word".to_owned(),
                fix: format!("write one of {}", _variants.join(", ")),
                field: None,
            }),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match name {
            UNSUPPORTED => {
                let path = self.context.path();
                let cause = format!("`{path}` is not supported yet");
                let known = self.context.unsupported.iter().find(|known| path.ends_with(known.path));
                let fix = known.map_or_else(|| format!("remove `{path}`"), |known| known.fix.to_owned());
                self.context.report(Code::Unsupported, self.node.line, cause, fix);
                visitor.visit_u32(self.node.line)
            }
            IGNORED => {
                self.context.ignored.borrow_mut().push(self.context.path());
                visitor.visit_u32(self.node.line)
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// Keeps derived structs from being read out of sequences.
struct OnlyMapping<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for OnlyMapping<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of fields")
    }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    context: &'a DecodeContext,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = FieldError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, FieldError> {
        match self.items.next() {
            Some((index, node)) => self.context.step(PathSegment::Index(index), node, seed).map(Some),
            None => Ok(None),
        }
    }

    // Without it a list of one has room for four.
    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'a> {
    entries: &'a [(String, Node)],
    fields: Option<&'static [&'static str]>,
    line: Option<u32>,
    next: Option<&'a (String, Node)>,
    context: &'a DecodeContext,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        if self.line.is_some() && self.next.is_none() {
            return seed.deserialize(IntoDeserializer::<FieldError>::into_deserializer(LINE_FIELD)).map(Some);
        }
        while let Some((entry, rest)) = self.entries.split_first() {
            self.entries = rest;
            // An explicit null means the same as an absent field, as in Kubernetes.
            let absent = matches!(entry.1.value, NodeValue::Null);
            let known =
                self.fields.is_none_or(|fields| fields.contains(&entry.0.as_str()) && entry.0 != LINE_FIELD);
            if known && !(absent && self.fields.is_some()) {
                self.next = Some(entry);
                return seed
                    .deserialize(IntoDeserializer::<FieldError>::into_deserializer(entry.0.as_str()))
                    .map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        if let Some(line) = self.line.take() {
            return seed.deserialize(IntoDeserializer::<FieldError>::into_deserializer(line));
        }
        match self.next.take() {
            Some((key, node)) => self.context.step(PathSegment::Key(key.clone()), node, seed),
            None => Err(de::Error::custom("has a value without a key")),
        }
    }
}

struct LineVisitor;

impl Visitor<'_> for LineVisitor {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field of a document")
    }

    fn visit_u32<E>(self, line: u32) -> Result<u32, E> {
        Ok(line)
    }
}

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(UNSUPPORTED, LineVisitor).map(|line| Self { line })
    }
}

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(IGNORED, LineVisitor).map(|line| Self { line })
    }
}
