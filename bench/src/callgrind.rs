//! Instructions, counted by callgrind: the same on every machine of one kind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::process::RunningProgram;

/// The command, under callgrind; what it counts goes to files in `folder`.
pub(crate) fn wrap(command: &[String], folder: &Path, name: &str) -> Vec<String> {
    let out = folder.join(format!("callgrind-{name}.out"));
    let valgrind =
        ["valgrind", "--tool=callgrind", "--quiet", &format!("--callgrind-out-file={}", out.display())]
            .map(str::to_owned);
    valgrind.into_iter().chain(command.iter().cloned()).collect()
}

/// Forgets what was counted so far.
pub(crate) fn zero(program: &RunningProgram) -> Result<()> {
    control("--zero", program)
}

/// Instructions since then.
pub(crate) fn instructions(program: &RunningProgram, folder: &Path, name: &str) -> Result<f64> {
    control("--dump", program)?;
    // Dumps are numbered.
    let path = (1..100)
        .map(|n| folder.join(format!("callgrind-{name}.out.{n}")))
        .take_while(|path| path.exists())
        .last();
    let path = path.context("callgrind wrote nothing")?;
    let text = fs::read_to_string(&path)?;
    let line =
        text.lines().rev().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let total = line.with_context(|| format!("no total in {}", path.display()))?;
    Ok(total.split_whitespace().next().context("no total")?.parse()?)
}

fn control(what: &str, program: &RunningProgram) -> Result<()> {
    let id = program.id().to_string();
    let output = Command::new("callgrind_control").args([what, &id]).stdin(Stdio::null()).output();
    let output = output.context("run callgrind_control")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("OK"), "callgrind_control {what}: {said}");
    Ok(())
}
