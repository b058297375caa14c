//! A file of options: a mapping of names to values, or to lists of them, with the line of each.

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// One option of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSetting {
    pub(super) key: String,
    pub(super) line: u64,
    pub(super) values: Vec<String>,
}

/// Why a file has no reading.
#[derive(Debug, Error)]
pub(crate) enum SettingsFileError {
    #[error("read {path}: {cause}")]
    Read { path: PathBuf, cause: io::Error },
    #[error("{path} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge { path: PathBuf },
    #[error("{path}: {cause}")]
    Syntax { path: PathBuf, cause: Box<serde_saphyr::Error> },
}

pub(super) fn read(path: &Path) -> Result<Vec<FileSetting>, SettingsFileError> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match file {
        Ok(bytes) if bytes as u64 > FILE_BYTES_MAX => Err(SettingsFileError::TooLarge { path: path.into() }),
        Ok(_) => {
            parse(&text).map_err(|cause| SettingsFileError::Syntax { path: path.into(), cause: cause.into() })
        }
        Err(cause) => Err(SettingsFileError::Read { path: path.into(), cause }),
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<FileSetting>, serde_saphyr::Error> {
    let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if is_empty {
        return Ok(Vec::new());
    }
    Ok(serde_saphyr::from_str::<Settings>(text)?.0)
}

struct Settings(Vec<FileSetting>);

/// What an option is set to.
enum FileValue {
    None,
    One(String),
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SettingsVisitor)
    }
}

struct SettingsVisitor;

impl<'de> Visitor<'de> for SettingsVisitor {
    type Value = Settings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of options to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Settings, A::Error> {
        let mut settings: Vec<FileSetting> = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let (line, key) = (key.referenced.line(), key.value);
            if settings.iter().any(|known| known.key == key) {
                return Err(de::Error::custom(format_args!("`{key}` is there twice")));
            }
            let values = match access.next_value()? {
                FileValue::None => Vec::new(),
                FileValue::One(value) => vec![value],
                FileValue::Several(values) => values,
            };
            settings.push(FileSetting { key, line, values });
        }
        Ok(Settings(settings))
    }
}

impl<'de> Deserialize<'de> for FileValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FileValueVisitor)
    }
}

struct FileValueVisitor;

impl<'de> Visitor<'de> for FileValueVisitor {
    type Value = FileValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_bool<E>(self, value: bool) -> Result<FileValue, E> {
        Ok(FileValue::One(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<FileValue, E> {
        Ok(FileValue::One(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<FileValue, E> {
        Ok(FileValue::One(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<FileValue, E> {
        Ok(FileValue::One(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<FileValue, E> {
        Ok(FileValue::None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<FileValue, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = access.next_element()? {
            let FileValue::One(value) = value else {
                return Err(de::Error::custom("a list of an option holds values alone"));
            };
            all.push(value);
        }
        Ok(FileValue::Several(all))
    }
}
