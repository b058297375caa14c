//! The content of a resource as it stands in a message: bytes as they came, or what this process published.
//!
//! What is published is written when it first goes over a network, once for all streams. Whoever gets it within the
//! process takes it as it is, so that both ends hold it once.

use super::{type_url, write};
use ::bytes::{Buf, BufMut, Bytes};
use model::Resource;
use prost::encoding::{
    DecodeContext, WireType, bytes, encode_key, encode_varint, encoded_len_varint, string,
};
use prost::{DecodeError, Message};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// `google.protobuf.Any`. Its bytes may hold a key: they are never shown.
#[derive(Clone)]
pub enum Any {
    /// As it came, or as it was kept.
    Received {
        /// Says of what kind it is.
        type_url: String,
        /// The content.
        value: Bytes,
    },
    /// As it was made here.
    Published(Arc<PublishedContent>),
}

/// A resource that is published.
pub struct PublishedContent {
    pub(super) resource: Resource,
    /// Boxed, because of many it is never written.
    written: OnceLock<Box<Bytes>>,
}

/// Numbers of the message's fields.
const TYPE_URL: u32 = 1;
const VALUE: u32 = 2;

impl Any {
    /// What is published.
    pub fn published(resource: Resource) -> Self {
        Self::Published(Arc::new(PublishedContent { resource, written: OnceLock::new() }))
    }

    /// What was published.
    pub fn as_published(&self) -> Option<&Resource> {
        match self {
            Self::Received { .. } => None,
            Self::Published(content) => Some(&content.resource),
        }
    }

    /// Says of what kind it is.
    pub fn type_url(&self) -> &str {
        match self {
            Self::Received { type_url, .. } => type_url,
            Self::Published(content) => type_url(&content.resource),
        }
    }

    /// The content.
    pub fn value(&self) -> &Bytes {
        match self {
            Self::Received { value, .. } => value,
            Self::Published(content) => content.written.get_or_init(|| Box::new(write(&content.resource))),
        }
    }
}

impl fmt::Debug for Any {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received { type_url, value } => write!(f, "Received({type_url}, {} bytes)", value.len()),
            Self::Published(content) => f.debug_tuple("Published").field(&content.resource).finish(),
        }
    }
}

impl Default for Any {
    fn default() -> Self {
        Self::Received { type_url: String::new(), value: Bytes::new() }
    }
}

impl PartialEq for Any {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Published(a), Self::Published(b)) if Arc::ptr_eq(a, b) => true,
            _ => self.type_url() == other.type_url() && self.value() == other.value(),
        }
    }
}

impl Eq for Any {}

impl Hash for Any {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.type_url().hash(state);
        self.value().hash(state);
    }
}

impl Message for Any {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        let (type_url, value) = (self.type_url(), self.value());
        if !type_url.is_empty() {
            encode_key(TYPE_URL, WireType::LengthDelimited, buf);
            encode_varint(type_url.len() as u64, buf);
            buf.put_slice(type_url.as_bytes());
        }
        if !value.is_empty() {
            bytes::encode(VALUE, value, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        if let Self::Published(_) = self {
            self.clear();
        }
        match (tag, self) {
            (TYPE_URL, Self::Received { type_url, .. }) => string::merge(wire_type, type_url, buf, context),
            (VALUE, Self::Received { value, .. }) => bytes::merge(wire_type, value, buf, context),
            _ => prost::encoding::skip_field(wire_type, tag, buf, context),
        }
    }

    fn encoded_len(&self) -> usize {
        // Both tags are one byte.
        let length = |bytes: usize| if bytes == 0 { 0 } else { 1 + encoded_len_varint(bytes as u64) + bytes };
        length(self.type_url().len()) + length(self.value().len())
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
