//! A field as the decoder hands it out: its name and value in the types of `http`, so that one out of a table costs
//! no allocation and no second look at its bytes.

use super::dynamic::ENTRY_OVERHEAD_BYTES;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// What a field is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldName {
    /// `:method`.
    Method,
    /// `:scheme`.
    Scheme,
    /// `:authority`.
    Authority,
    /// `:path`.
    Path,
    /// `:protocol` (RFC 8441).
    Protocol,
    /// `:status`.
    Status,
    /// An ordinary one, in lower case.
    Header(HeaderName),
    /// Any other: an unknown pseudo-field, upper case, no token. Its message is malformed.
    Malformed(Bytes),
}

/// The pseudo-field of this name, or what else it is; also where this is compiled.
macro_rules! pseudo_or_else {
    ($name:expr, $else:expr) => {
        match $name {
            b":method" => FieldName::Method,
            b":scheme" => FieldName::Scheme,
            b":authority" => FieldName::Authority,
            b":path" => FieldName::Path,
            b":protocol" => FieldName::Protocol,
            b":status" => FieldName::Status,
            _ => $else,
        }
    };
}

impl FieldName {
    /// Reads a name as it was sent.
    pub fn parse(name: &[u8]) -> FieldName {
        pseudo_or_else!(
            name,
            match HeaderName::from_lowercase(name) {
                Ok(name) => FieldName::Header(name),
                Err(_) => FieldName::Malformed(Bytes::copy_from_slice(name)),
            }
        )
    }

    /// One of the static table.
    pub(super) const fn known(name: &'static str) -> FieldName {
        pseudo_or_else!(name.as_bytes(), FieldName::Header(HeaderName::from_static(name)))
    }

    /// Its bytes, as they are sent.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            FieldName::Method => b":method",
            FieldName::Scheme => b":scheme",
            FieldName::Authority => b":authority",
            FieldName::Path => b":path",
            FieldName::Protocol => b":protocol",
            FieldName::Status => b":status",
            FieldName::Header(name) => name.as_str().as_bytes(),
            FieldName::Malformed(name) => name,
        }
    }
}

/// What a field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// Of an ordinary field.
    Header(HeaderValue),
    /// Of a pseudo-field; or bytes that no value of an ordinary one may have: its message is malformed.
    Raw(Bytes),
}

impl FieldValue {
    /// The value `bytes` of a field of this name.
    pub fn parse(name: &FieldName, bytes: Bytes) -> FieldValue {
        match name {
            // A copy of the handle, not of the bytes.
            FieldName::Header(_) => match HeaderValue::from_maybe_shared(bytes.clone()) {
                Ok(value) => FieldValue::Header(value),
                Err(_) => FieldValue::Raw(bytes),
            },
            _ => FieldValue::Raw(bytes),
        }
    }

    /// Its bytes, as they are sent.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            FieldValue::Header(value) => value.as_bytes(),
            FieldValue::Raw(bytes) => bytes,
        }
    }
}

/// One field of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderField {
    /// What it is called.
    pub name: FieldName,
    /// What it says. Of an ordinary field that must never be indexed it is marked as sensitive.
    pub value: FieldValue,
    /// It was sent as one that no table may have, and must be sent on so (RFC 7541 section 7.1.3).
    pub is_never_indexed: bool,
}

impl HeaderField {
    /// One of the static table.
    pub(super) const fn known(name: &'static str, value: &'static str) -> HeaderField {
        let name = FieldName::known(name);
        let value = match &name {
            FieldName::Header(_) => FieldValue::Header(HeaderValue::from_static(value)),
            _ => FieldValue::Raw(Bytes::from_static(value.as_bytes())),
        };
        HeaderField { name, value, is_never_indexed: false }
    }

    /// What it counts for in a table and in a list of fields, in bytes.
    pub fn size(&self) -> usize {
        self.name.as_bytes().len() + self.value.as_bytes().len() + ENTRY_OVERHEAD_BYTES
    }
}
