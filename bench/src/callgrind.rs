//! Instructions, counted by callgrind: the same on every machine of one kind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::process::RunningProgram;

/// The command, under callgrind; what it counts goes to files in `folder`.
pub(crate) fn wrap(command: &[String], folder: &Path, name: &str) -> Vec<String> {
    wrapped(command, folder, name, &[])
}

/// The same, which counts nothing until [`begin`], because what comes before takes a fraction of the time so; and each
/// thread for itself: [`instructions_of_thread`].
pub(crate) fn wrap_idle(command: &[String], folder: &Path, name: &str) -> Vec<String> {
    wrapped(command, folder, name, &["--instr-atstart=no", "--separate-threads=yes"])
}

fn wrapped(command: &[String], folder: &Path, name: &str, options: &[&str]) -> Vec<String> {
    let out = format!("--callgrind-out-file={}", folder.join(format!("callgrind-{name}.out")).display());
    let valgrind = ["valgrind", "--tool=callgrind", "--quiet", &out];
    let valgrind = valgrind.iter().chain(options).map(|word| (*word).to_owned());
    valgrind.chain(command.iter().cloned()).collect()
}

/// Begins to count.
pub(crate) fn begin(program: &RunningProgram) -> Result<()> {
    control("--instr=on", program)
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
    total(&fs::read_to_string(&path)?).with_context(|| format!("read {}", path.display()))
}

/// Instructions since then of the threads that have run a function with `part` in its name; `folder` has this alone.
pub(crate) fn instructions_of_thread(program: &RunningProgram, folder: &Path, part: &str) -> Result<f64> {
    control("--dump", program)?;
    let mut sum = 0.0;
    for entry in fs::read_dir(folder)? {
        let text = fs::read_to_string(entry?.path())?;
        if text.contains(part) {
            sum += total(&text)?;
        }
    }
    ensure!(sum > 0.0, "no thread has run {part}");
    Ok(sum)
}

fn total(text: &str) -> Result<f64> {
    let line =
        text.lines().rev().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let total = line.context("there is no total")?;
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
