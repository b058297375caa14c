//! Files, directories and standard input to objects and findings.

use crate::exit::{DATA, Failure};
use crate::show;
use anyhow::Context;
use api::kinds::gateway::{CLASS, EAST_WEST_CLASS};
use api::{Object, Spec};
use model::{Code, Finding};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest input from a pipe, in bytes; more is refused.
const STDIN_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Largest file of a directory, in bytes; a larger one is refused.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Deepest directory that is read; a deeper one is refused.
const DEPTH_MAX: usize = 8;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Name as typed (or found) and text, in the order read.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) objects: Vec<Object>,
    pub(crate) findings: Vec<Finding>,
}

impl Loaded {
    /// Text of a file that a finding names.
    pub(crate) fn text_of(&self, file: &str) -> Option<&str> {
        self.files.iter().find(|(name, _)| name == file).map(|(_, text)| text.as_str())
    }

    /// Stops at documents that are skipped, for those who want none.
    pub(crate) fn check_strict(&self, strict: Strict, nothing: &str) -> Result<(), Failure> {
        let of_class = |object: &&Object| match &object.spec {
            Spec::Gateway(spec) => ![CLASS, EAST_WEST_CLASS].contains(&&*spec.gateway_class_name),
            _ => false,
        };
        let skipped = self.findings.iter().filter(|finding| is_skipped(finding)).count()
            + self.objects.iter().filter(of_class).count();
        if skipped == 0 || !strict.strict {
            return Ok(());
        }
        let what = show::count(skipped, "document");
        Err(Failure::new(DATA, format!("{what} would be skipped, which --strict forbids; {nothing}")))
    }

    /// Whether anything is wrong enough to stop.
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.code.level() == model::Severity::Error)
    }
}

/// Whether documents for others may be skipped.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Strict {
    /// Documents of kinds, and Gateways of classes, that Leno does not serve are errors, instead of being skipped
    #[arg(long)]
    strict: bool,
}

impl Strict {
    /// Whether a finding that is no error is one nevertheless.
    pub(crate) fn forbids(self, finding: &Finding) -> bool {
        self.strict && is_skipped(finding)
    }
}

/// Whether a finding is about what others serve.
pub(crate) fn is_skipped(finding: &Finding) -> bool {
    matches!(finding.code, Code::Foreign | Code::Replaced)
}

/// What standard input is called when nobody says otherwise.
pub(crate) const STDIN: &str = "stdin";

/// Reads all of `paths` (`-` is standard input; of directories the `.yaml`, `.yml` and `.json` files in
/// order of their names, with subdirectories) and parses them together. As a control plane reads a directory,
/// so it is read here: links that lead out of it are refused, and only regular files are opened. A file that is
/// named by itself may be anything, a pipe too.
pub(crate) fn load(paths: &[String]) -> Result<Loaded, Failure> {
    load_as(paths, STDIN)
}

/// The same; findings call standard input `stdin`.
pub(crate) fn load_as(paths: &[String], stdin: &str) -> Result<Loaded, Failure> {
    let mut files = Vec::new();
    for path in paths {
        read(path, stdin, &mut files).map_err(|cause| Failure { code: DATA, cause })?;
    }
    let (objects, mut findings) = api::parse::files(files.iter().map(|(name, text)| (&**name, &**text)));
    findings.extend(objects.iter().flat_map(|object| object.warnings.iter().cloned()));
    Ok(Loaded { files, objects, findings })
}

fn read(path: &str, stdin: &str, files: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    if path == "-" {
        let mut text = String::new();
        let mut limited = std::io::stdin().lock().take(STDIN_BYTES_MAX + 1);
        limited.read_to_string(&mut text).context("read standard input")?;
        anyhow::ensure!(
            text.len() as u64 <= STDIN_BYTES_MAX,
            "standard input has more than {STDIN_BYTES_MAX} bytes"
        );
        files.push((stdin.to_owned(), text));
        return Ok(());
    }
    let path = Path::new(path);
    let kind = std::fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
    let found = if kind.is_dir() {
        let root = path.canonicalize().with_context(|| format!("read {}", path.display()))?;
        let mut walk = Walk { root: root.clone(), entered: BTreeSet::new(), found: Vec::new() };
        walk.enter(path, root, 0)?;
        anyhow::ensure!(!walk.found.is_empty(), "{} holds no .yaml, .yml or .json file", path.display());
        walk.found
    } else {
        vec![path.to_owned()]
    };
    for path in found {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        files.push((path.display().to_string(), text));
    }
    Ok(())
}

/// The files of a directory.
struct Walk {
    /// Its true path.
    root: PathBuf,
    /// True paths of what was found, because links may lead in circles.
    entered: BTreeSet<PathBuf>,
    found: Vec<PathBuf>,
}

impl Walk {
    /// Looks into a directory called `path` that is really `real`.
    fn enter(&mut self, path: &Path, real: PathBuf, depth: usize) -> anyhow::Result<()> {
        anyhow::ensure!(depth < DEPTH_MAX, "{} lies more than {DEPTH_MAX} directories deep", path.display());
        if !self.entered.insert(real) {
            return Ok(());
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
        let mut paths =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        // What has a name of its own is told by it, not by a link's.
        paths.sort_by_key(|path| (path.is_symlink(), path.clone()));
        for path in paths {
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let is_ours =
                path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|each| end == *each));
            if hidden || !(is_ours || path.is_dir()) {
                continue;
            }
            self.take(path, depth)
                .map_err(|(path, cause)| cause.context(format!("read {}", path.display())))?;
        }
        self.found.sort();
        Ok(())
    }

    fn take(&mut self, path: PathBuf, depth: usize) -> Result<(), (PathBuf, anyhow::Error)> {
        let looked = path.canonicalize().and_then(|real| Ok((std::fs::metadata(&real)?, real)));
        let (kind, real) = match looked {
            Ok(looked) => looked,
            Err(cause) => return Err((path, cause.into())),
        };
        let refuse = |path, cause: &str| Err((path, anyhow::Error::msg(cause.to_owned())));
        if !real.starts_with(&self.root) {
            return refuse(path, "the link leads out of the directory");
        }
        if kind.is_dir() {
            return self.enter(&path, real, depth + 1).map_err(|cause| (path, cause));
        }
        if !kind.is_file() {
            return refuse(path, "not a regular file");
        }
        if kind.len() > FILE_BYTES_MAX {
            return refuse(path, "larger than 16 MiB");
        }
        if self.entered.insert(real) {
            self.found.push(path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
