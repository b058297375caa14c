//! No circles among the files of a crate: the uses have a first and a last file.
//!
//! An edge is a path that one file names in another, in a `use` or in place. What a file names in its own ancestors
//! is no edge: a child is a part of its parent.

use super::Untidy;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Module = Vec<String>;

/// All findings about circles.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Untidy>> {
    let mut found = Vec::new();
    let mut crates: Vec<_> = fs::read_dir(root.join("crates"))?.collect::<Result<Vec<_>, _>>()?;
    crates.sort_by_key(fs::DirEntry::path);
    let folders =
        crates.iter().map(fs::DirEntry::path).chain(["bench", "envoy", "xtask"].map(|name| root.join(name)));
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let circles = circles(&edges(&folder.join("src"))?);
        if !circles.is_empty() {
            let shown =
                |circle: &Vec<Module>| circle.iter().map(|m| m.join("/")).collect::<Vec<_>>().join(", ");
            let all: Vec<String> = circles.iter().map(shown).collect();
            found.push(Untidy::new(&name, format!("files use one another in a circle: {}", all.join("; "))));
        }
    }
    Ok(found)
}

/// Which module names which, among those that are files.
fn edges(source: &Path) -> anyhow::Result<BTreeMap<Module, BTreeSet<Module>>> {
    let mut texts = BTreeMap::new();
    for path in rust_files(source)? {
        let relative = path.strip_prefix(source)?.with_extension("");
        let module: Module = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.iter().any(|part| part == "tests" || part == "gen") {
            continue;
        }
        let is_root = module.len() == 1 && ["lib", "main"].contains(&module[0].as_str());
        texts.insert(if is_root { Vec::new() } else { module }, fs::read_to_string(&path)?);
    }
    let mut edges = BTreeMap::new();
    for (module, text) in &texts {
        let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let code = code.join("\n");
        let named = paths(&code).into_iter().filter_map(|path| resolve(&texts, module, &path));
        let others = named.filter(|other| !module.starts_with(other));
        edges.insert(module.clone(), others.collect());
    }
    Ok(edges)
}

/// All files of Rust below `folder`.
fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// The paths in `code` that may lie in its crate, groups taken apart.
fn paths(code: &str) -> Vec<Module> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut all = Vec::new();
    for (at, _) in code.match_indices("::") {
        let begins = code[..at].rfind(|c| !is_part(c)).map_or(0, |before| before + 1);
        // Only the first pair of colons of a path begins one.
        if !code[begins..at].contains(':') {
            expand(&mut Vec::new(), &code[begins..], &mut all);
        }
    }
    all
}

/// Adds the paths at the beginning of `text` below `prefix`; returns what is behind them.
fn expand<'t>(prefix: &mut Module, text: &'t str, all: &mut Vec<Module>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut group) = text.strip_prefix('{') {
        loop {
            group = expand(&mut prefix.clone(), group, all).trim_start();
            match group.strip_prefix(',') {
                Some(rest) => group = rest,
                None => return group.strip_prefix('}').unwrap_or_default(),
            }
        }
    }
    let len = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (part, rest) = text.split_at(len);
    if !part.is_empty() {
        prefix.push(part.to_owned());
    }
    match rest.strip_prefix("::") {
        Some(rest) if !part.is_empty() => expand(prefix, rest, all),
        _ => {
            all.push(prefix.clone());
            // Behind a name: `as other`.
            rest.find([',', '}', ';', '{']).map_or("", |end| &rest[end..])
        }
    }
}

/// The module of `texts` that `path`, as written in `module`, leads to.
fn resolve(texts: &BTreeMap<Module, String>, module: &Module, path: &[String]) -> Option<Module> {
    let mut base = module.clone();
    let rest = match path.first()?.as_str() {
        "crate" => {
            base.clear();
            &path[1..]
        }
        "self" => &path[1..],
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            base.truncate(base.len().saturating_sub(ups));
            &path[ups..]
        }
        child => {
            base.push(child.to_owned());
            texts.contains_key(&base).then(|| base.pop())?;
            path
        }
    };
    base.extend(rest.iter().cloned());
    while !texts.contains_key(&base) {
        base.pop()?;
    }
    Some(base)
}

/// Sets of more than one module of which each reaches each.
fn circles(edges: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<Module>> {
    let reached = |from: &Module| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(next) = waiting.pop() {
            waiting
                .extend(edges.get(next).into_iter().flatten().filter(|other| seen.insert((*other).clone())));
        }
        seen
    };
    let all: BTreeMap<&Module, BTreeSet<Module>> =
        edges.keys().map(|module| (module, reached(module))).collect();
    let mut circles: BTreeSet<Vec<Module>> = BTreeSet::new();
    for (module, from_here) in &all {
        let circle: Vec<Module> =
            from_here.iter().filter(|other| all[other].contains(*module)).cloned().collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::{circles, edges};
    use std::fs;

    #[test]
    fn a_circle_is_found_however_its_paths_are_written() {
        let folder = std::env::temp_dir().join(format!("xtask-circles-{}", std::process::id()));
        let write = |file: &str, text: &str| {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("lib.rs", "mod a; mod b; mod c; use a::A;");
        write("a.rs", "use crate::{b::{self, B}, Error};");
        write("b.rs", "mod d; // crate::c\n use d::D;");
        write("b/d.rs", "use super::B; fn f() { super::super::c::g() }");
        write("c.rs", "fn g() {}");
        let found = || circles(&edges(&folder).unwrap());
        assert!(found().is_empty(), "{:?}", found());
        write("c.rs", "fn g(a: &crate::a::A) {}");
        let names: Vec<String> = found().concat().iter().map(|module| module.join("/")).collect();
        assert_eq!(names, ["a", "b", "b/d", "c"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
