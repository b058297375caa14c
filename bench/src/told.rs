//! A part of the bench that runs as a process of its own and answers each line with a line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

/// The process; ends when dropped.
pub(crate) struct ToldProcess {
    child: Child,
    told: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl ToldProcess {
    /// Starts it on `core`; its complaints go to `log`.
    pub(crate) fn start(core: usize, command: &[String], log: &Path) -> Result<ToldProcess> {
        let words = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c", &core.to_string()])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(words)
            .spawn()
            .with_context(|| format!("start {}", command.join(" ")))?;
        let told = child.stdin.take().context("standard input")?;
        let said = BufReader::new(child.stdout.take().context("standard output")?);
        Ok(ToldProcess { child, told, said })
    }

    /// What it answers to `line`.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.told, "{line}")?;
        let mut answer = String::new();
        self.said.read_line(&mut answer)?;
        if answer.is_empty() {
            bail!("no answer: it has ended");
        }
        Ok(answer.trim().to_owned())
    }
}

impl Drop for ToldProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
