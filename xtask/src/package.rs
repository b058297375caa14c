//! `cargo xtask package`: a Debian package of the two programs, with units of systemd, manual pages, completion and
//! documentation. What is static in it lies in `package/`.
//!
//! The programs are those of a release build, or lie in the directory of `--binaries`: then they may be any build.

use anyhow::{Context, ensure};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: [&str; 2] = ["leno", "leno-proxy"];
/// Shells, and where each looks for what completes `leno`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/leno"),
    ("zsh", "usr/share/zsh/vendor-completions/_leno"),
    ("fish", "usr/share/fish/vendor_completions.d/leno.fish"),
];
const USAGE: &str = "usage: cargo xtask package [--binaries DIR] [--out DIR] [--quick]";

/// What was asked for.
struct PackageOptions {
    binaries: Option<PathBuf>,
    out: PathBuf,
    /// Hardly compressed: to try it.
    is_quick: bool,
}

impl PackageOptions {
    fn parse(root: &Path, mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self { binaries: None, out: root.join("target/package"), is_quick: false };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--binaries" => options.binaries = Some(arguments.next().context(USAGE)?.into()),
                "--out" => options.out = arguments.next().context(USAGE)?.into(),
                "--quick" => options.is_quick = true,
                _ => anyhow::bail!(USAGE),
            }
        }
        Ok(options)
    }
}

/// Builds the package, and prints where it is.
pub(crate) fn run(root: &Path, arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let options = PackageOptions::parse(root, arguments)?;
    let binaries = match &options.binaries {
        Some(binaries) => binaries.clone(),
        None => {
            let build = ["build", "--release", "--locked", "-p", "leno", "-p", "leno-proxy"];
            call(Command::new(env!("CARGO")).args(build).current_dir(root))?;
            root.join("target/release")
        }
    };
    let stage = options.out.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage).context("clear the stage")?;
    }
    for program in PROGRAMS {
        put(
            &stage,
            &format!("usr/bin/{program}"),
            &fs::read(binaries.join(program)).context(program)?,
            0o755,
        )?;
    }
    put_static(root, &stage)?;
    put_generated(&stage)?;
    let (version, architecture) = put_control(root, &stage)?;
    let package = options.out.join(format!("leno_{version}_{architecture}.deb"));
    let mut build = Command::new("dpkg-deb");
    if options.is_quick {
        build.args(["-Zgzip", "-z1"]);
    }
    call(build.args(["--root-owner-group", "--build"]).arg(&stage).arg(&package))?;
    fs::remove_dir_all(&stage).context("clear the stage")?;
    println!("{}", package.display());
    Ok(())
}

/// Writes a file of the package.
fn put(stage: &Path, path: &str, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let path = stage.join(path);
    let directory = path.parent().context("a file lies in a directory")?;
    fs::create_dir_all(directory)?;
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    // Whatever the umask says; directories too.
    fs::set_permissions(&path, Permissions::from_mode(mode))?;
    for above in directory.ancestors().take_while(|above| above.starts_with(stage)) {
        fs::set_permissions(above, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Units, users, configuration, documentation.
fn put_static(root: &Path, stage: &Path) -> anyhow::Result<()> {
    for (from, to) in [
        ("package/systemd", "usr/lib/systemd/system"),
        ("package/sysusers.d", "usr/lib/sysusers.d"),
        ("package/etc", "etc/leno"),
        ("docs", "usr/share/doc/leno"),
        ("docs/decisions", "usr/share/doc/leno/decisions"),
    ] {
        for (name, path) in files(&root.join(from))? {
            put(stage, &format!("{to}/{name}"), &fs::read(path)?, 0o644)?;
        }
    }
    put(stage, "usr/share/doc/leno/copyright", &fs::read(root.join("package/debian/copyright"))?, 0o644)
}

/// Files of a directory, by name.
fn files(directory: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))? {
        let path = entry?.path();
        if path.is_file()
            && let Some(name) = path.file_name().and_then(OsStr::to_str)
        {
            found.push((name.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// What the program says of itself: manual pages and completion.
fn put_generated(stage: &Path) -> anyhow::Result<()> {
    let (leno, pages) = (stage.join("usr/bin/leno"), stage.join("usr/share/man/man1"));
    fs::create_dir_all(&pages)?;
    call(Command::new(&leno).arg("manual").arg(&pages))?;
    for (name, path) in files(&pages)? {
        let text = fs::read(&path)?;
        fs::remove_file(&path)?;
        let page = format!("usr/share/man/man1/{name}");
        put(stage, &page, &text, 0o644)?;
        call(Command::new("gzip").arg("-9n").arg(stage.join(page)))?;
    }
    for (shell, path) in COMPLETIONS {
        let output = Command::new(&leno).args(["completion", shell]).output().context("run leno")?;
        ensure!(output.status.success(), "leno completion {shell} failed");
        put(stage, path, &output.stdout, 0o644)?;
    }
    Ok(())
}

/// What dpkg is told; returns version and architecture.
fn put_control(root: &Path, stage: &Path) -> anyhow::Result<(String, String)> {
    let leno = stage.join("usr/bin/leno");
    let told = Command::new(&leno).arg("--version").output().context("run leno")?;
    let told = String::from_utf8(told.stdout).context("leno --version")?;
    let version = told.trim().strip_prefix("leno ").context("leno --version says something else")?.to_owned();
    let architecture = Command::new("dpkg").arg("--print-architecture").output().context("run dpkg")?;
    let architecture = String::from_utf8(architecture.stdout)?.trim().to_owned();
    let mut bytes = 0;
    let mut waiting = vec![stage.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => waiting.push(entry.path()),
                false => bytes += entry.metadata()?.len(),
            }
        }
    }
    let libc =
        newest_glibc(&fs::read(leno)?).map(|minor| format!("libc6 (>= 2.{minor}), ")).unwrap_or_default();
    let control = fs::read_to_string(root.join("package/debian/control"))?
        .replace("@VERSION@", &version)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@KIBIBYTES@", &bytes.div_ceil(1024).to_string())
        .replace("@LIBC@", &libc);
    put(stage, "DEBIAN/control", control.as_bytes(), 0o644)?;
    for script in ["postinst", "prerm", "postrm"] {
        put(stage, &format!("DEBIAN/{script}"), &fs::read(root.join("package/debian").join(script))?, 0o755)?;
    }
    let names = files(&root.join("package/etc"))?;
    let conffiles: String = names.iter().map(|(name, _)| format!("/etc/leno/{name}\n")).collect();
    put(stage, "DEBIAN/conffiles", conffiles.as_bytes(), 0o644)?;
    Ok((version, architecture))
}

/// Of the versions of the C library that a program names, the newest: N of 2.N. None: it is static.
fn newest_glibc(program: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"\0GLIBC_2.";
    let named = program.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let minor = |(at, _): (usize, &[u8])| {
        let digits = program.get(at + NAME.len()..)?.iter().take_while(|byte| byte.is_ascii_digit());
        digits.map(|digit| char::from(*digit)).collect::<String>().parse().ok()
    };
    named.filter_map(minor).max()
}

fn call(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("run {:?}", command.get_program()))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_c_library_that_is_named_counts() {
        assert_eq!(newest_glibc(b"\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.17\0"), Some(34));
        assert_eq!(newest_glibc(b"\0GLIBC_PRIVATE\0XGLIBC_2.90\0"), None);
    }
}
