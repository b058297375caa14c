//! The last good configuration on disk, so that a proxy can start while the control plane is away.
//!
//! Never a key: resources carry none. The file is versioned, checksummed and bound to the workload group;
//! one that does not fit is ignored with a warning. Written aside and renamed. Loaded only after the proxy
//! has a certificate.

use crate::snapshot::LocalNode;
use model::{Resource, ResourceKey, Subscription};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xds::client::{REFUSED_VERSION, deny_all};
use xds::wire::{self, Any};

const MAGIC: &[u8; 8] = b"LENOLAST";
/// Raised when the layout changes; other versions are ignored.
const VERSION: u32 = 1;
/// Larger files are ignored: they cannot be ours.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
const DIGEST_BYTES: usize = 32;

/// What a file holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Saved {
    /// Subscribed on demand at that time.
    pub(super) wanted: Vec<Subscription>,
    /// Resources with the versions that they came with.
    pub(super) resources: Vec<(ResourceKey, Arc<str>, Resource)>,
}

/// Where it is kept.
#[derive(Clone, Debug)]
pub(super) struct LastGood {
    path: PathBuf,
    owner: String,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("read the file")]
    Read(#[source] io::Error),
    #[error("the file is not a configuration of this version")]
    Format,
    #[error("the file is damaged")]
    Checksum,
    #[error("the file belongs to {0}")]
    Owner(String),
}

impl LastGood {
    pub(super) fn new(directory: &Path, me: &LocalNode) -> Self {
        let owner = format!("{}/{}/{}", me.place.cluster, me.namespace, me.group);
        Self { path: directory.join("last-good"), owner }
    }

    /// Reads the file; `None`: there is none. What can no longer be decoded is left out,
    /// but for policies: such a one denies everything.
    pub(super) fn load(&self) -> Result<Option<Saved>, LoadError> {
        let mut bytes = Vec::new();
        match fs::File::open(&self.path) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(LoadError::Read)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LoadError::Read(error)),
        };
        let (body, digest) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or(LoadError::Format)?;
        let mut rest = Reader(body);
        if rest.take(MAGIC.len()) != Some(MAGIC) || rest.number() != Some(VERSION) {
            return Err(LoadError::Format);
        }
        if checksum(body).as_ref() != digest {
            return Err(LoadError::Checksum);
        }
        let owner = rest.text().ok_or(LoadError::Format)?;
        if owner != self.owner {
            return Err(LoadError::Owner(owner.to_owned()));
        }
        rest.saved().map(Some).ok_or(LoadError::Format)
    }

    /// Writes the file, and makes the directory when it is not there; blocks.
    pub(super) fn save(&self, saved: &Saved) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(64 * 1024);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        put(&mut bytes, self.owner.as_bytes())?;
        put_number(&mut bytes, saved.wanted.len())?;
        for subscription in &saved.wanted {
            put(&mut bytes, subscription.to_string().as_bytes())?;
        }
        put_number(&mut bytes, saved.resources.len())?;
        for (key, version, resource) in &saved.resources {
            let encoded = wire::encode(key, resource);
            put(&mut bytes, key.to_string().as_bytes())?;
            put(&mut bytes, version.as_bytes())?;
            put(&mut bytes, encoded.any.type_url().as_bytes())?;
            put(&mut bytes, encoded.any.value())?;
        }
        let digest = checksum(&bytes);
        bytes.extend_from_slice(digest.as_ref());
        if let Some(directory) = self.path.parent() {
            daemon::files::make_directory(directory)?;
        }
        let aside = self.path.with_extension("new");
        let mut file = daemon::files::open_own(&aside)?;
        file.set_len(0)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&aside, &self.path)
    }
}

fn checksum(bytes: &[u8]) -> aws_lc_rs::digest::Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
}

fn put_number(bytes: &mut Vec<u8>, number: usize) -> io::Result<()> {
    let number = u32::try_from(number).map_err(|_| io::ErrorKind::InvalidData)?;
    bytes.extend_from_slice(&number.to_be_bytes());
    Ok(())
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) -> io::Result<()> {
    put_number(bytes, part.len())?;
    bytes.extend_from_slice(part);
    Ok(())
}

/// Reads length-prefixed parts; every step checks what is left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(part)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.take(count as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.part()?).ok()
    }

    fn saved(&mut self) -> Option<Saved> {
        let mut saved = Saved::default();
        for _ in 0..self.number()? {
            saved.wanted.extend(Subscription::parse(self.text()?));
        }
        for _ in 0..self.number()? {
            let (key, version) = (self.text()?, self.text()?);
            let any =
                Any::Received { type_url: self.text()?.to_owned(), value: self.part()?.to_vec().into() };
            match (ResourceKey::parse(key), wire::decode(&any)) {
                (Some(key), Ok(resource)) => saved.resources.push((key, version.into(), resource)),
                // Left out, it would let in what it was to keep out.
                (Some(key), Err(error)) if key.policy().is_some() => {
                    tracing::warn!(%key, %error, "a kept policy cannot be read; it denies everything");
                    let Some((namespace, name)) = key.policy() else { continue };
                    let policy = Resource::Policy(deny_all(namespace, name));
                    saved.resources.push((key, REFUSED_VERSION.into(), policy));
                }
                _ => tracing::warn!(key, "left out a resource of the last good configuration"),
            }
        }
        Some(saved)
    }
}
