//! What may be linked: banned crates, duplicate major versions, licences.

use super::Untidy;
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Crate and why it is banned.
const BANNED: &[(&str, &str)] = &[
    ("ring", "a second crypto provider makes rustls refuse to choose one"),
    ("openssl", "one TLS library: rustls with aws-lc-rs"),
    ("openssl-sys", "one TLS library: rustls with aws-lc-rs"),
    ("native-tls", "one TLS library: rustls with aws-lc-rs"),
    ("serde_yaml", "archived; serde-saphyr keeps the lines"),
    ("rustables", "GPL-3.0"),
    ("async-std", "one runtime: tokio"),
];

/// Duplicate majors that others force on us: crate and who does.
const DUPLICATES: &[(&str, &str)] = &[
    ("base64", "pem (through rcgen) is on 0.23, tonic on 0.22"),
    ("hashbrown", "h2's indexmap and hickory differ"),
    ("itertools", "prost-build and protox differ; build tools only"),
    ("syn", "macro crates are moving from 2 to 3; compile time only"),
    ("synstructure", "macro crates are moving to syn 3; compile time only"),
    ("unicode-width", "miette (through protox) and clap differ; build tools only"),
    ("untrusted", "aws-lc-rs is on 0.7, rustls-webpki on 0.9"),
];

/// Licences of dependencies; an expression is fine when one side of each OR is.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
];

/// All findings about linked crates. Asks `cargo tree`, because the lock file and `cargo metadata` also name
/// optional crates that nothing turns on.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Untidy>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--edges",
            "all",
            "--prefix",
            "none",
            "--format",
            "{p}|{l}",
        ])
        .current_dir(root)
        .output()
        .context("run cargo tree")?;
    anyhow::ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).context("names of crates in UTF-8")?;
    Ok(judge(&tree))
}

/// Judges lines of `name vVERSION ...|LICENCE`.
fn judge(tree: &str) -> Vec<Untidy> {
    let mut found = Vec::new();
    let mut majors: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let lines: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    for (package, licence) in lines.iter().filter_map(|line| line.split_once('|')) {
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            found.push(Untidy::new(name, format!("is banned: {why}")));
        }
        let fresh = majors.entry(name).or_default().insert(major(version.trim_start_matches('v')));
        if fresh && !is_allowed(licence) {
            found.push(Untidy::new(name, format!("has the licence {licence:?}")));
        }
    }
    for (name, versions) in &majors {
        if versions.len() > 1 && !DUPLICATES.iter().any(|(allowed, _)| allowed == name) {
            let versions: Vec<_> = versions.iter().map(String::as_str).collect();
            found.push(Untidy::new(*name, format!("is linked in versions {}", versions.join(" and "))));
        }
    }
    let single =
        DUPLICATES.iter().filter(|(name, _)| majors.get(name).is_none_or(|versions| versions.len() < 2));
    found
        .extend(single.map(|(name, _)| Untidy::new(*name, "is no duplicate any more; take it off the list")));
    found
}

/// `1` of `1.2.3`, `0.2` of `0.2.3`: what Cargo treats as incompatible.
fn major(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_owned(),
        _ => version.to_owned(),
    }
}

fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let clean = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    // Brackets only ever group ORs under ANDs in what we link, so splitting at AND first reads them right.
    expression.split(" AND ").all(|all| all.split(" OR ").any(|one| LICENCES.contains(&clean(one).as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_doubled_and_unlicensed_crates_are_found() {
        let tree = "ring v0.17.0|ISC\nfoo v1.0.0|MIT\nfoo v2.0.0|MIT (*)\nbar v1.0.0|GPL-3.0\n";
        let found: Vec<_> = judge(tree).into_iter().map(|u| format!("{} {}", u.place, u.text)).collect();
        for part in ["ring is banned", "foo is linked in versions 1 and 2", "bar has the licence"] {
            assert!(found.iter().any(|text| text.starts_with(part)), "{part} in {found:?}");
        }
    }

    #[test]
    fn licence_expressions() {
        for good in
            ["MIT OR Apache-2.0", "MIT/Apache-2.0", "(Apache-2.0 OR MIT) AND BSD-3-Clause", "GPL-3.0 OR MIT"]
        {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", ""] {
            assert!(!is_allowed(bad), "{bad}");
        }
        assert_eq!((major("1.2.3"), major("0.2.3")), ("1".into(), "0.2".into()));
    }
}
