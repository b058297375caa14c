//! A host without any code of the demo: a network and a `/run` of its own, and programs as a user starts them.

use crate::demo::{LENO, text, wait_until};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Ends with whoever holds it, and everything in it.
pub(crate) struct BareHost {
    holder: Child,
}

/// A program that runs there; it is killed when dropped.
pub(crate) struct BareProgram {
    child: Child,
    log: Arc<Mutex<Vec<u8>>>,
    /// Reads the log until its end.
    reader: Option<JoinHandle<()>>,
}

impl BareHost {
    pub(crate) fn start() -> Self {
        let script = "ip link set lo up && mount -t tmpfs tmpfs /run && \
             mount -t tmpfs tmpfs /var/lib && echo ready && exec sleep infinity";
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Self { holder }
    }

    /// A command in it.
    pub(crate) fn command(&self, command: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--preserve-credentials", "--user", "--net", "--mount", "--target"]);
        enter.arg(self.holder.id().to_string()).arg("--").args(command).stdin(Stdio::null());
        enter
    }

    /// `leno ...` to its end.
    pub(crate) fn leno(&self, arguments: &[&str]) -> Output {
        self.command(&[&[LENO], arguments].concat()).output().expect("nsenter runs")
    }

    /// The same, which must succeed; its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.leno(arguments);
        assert!(output.status.success(), "leno {arguments:?}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A shell command, which must succeed.
    pub(crate) fn shell(&self, script: &str) -> Vec<u8> {
        let output = self.command(&["bash", "-ec", script]).output().expect("nsenter runs");
        assert!(output.status.success(), "{script}: {}", text(&output));
        output.stdout
    }

    /// `leno ...` in the background, given `input` on its standard input.
    pub(crate) fn spawn(&self, arguments: &[&str], input: &[u8]) -> BareProgram {
        self.start_program(&[&[LENO], arguments].concat(), input)
    }

    /// Another program in the background.
    pub(crate) fn spawn_program(&self, command: &[&str]) -> BareProgram {
        self.start_program(command, b"")
    }

    fn start_program(&self, command: &[&str], input: &[u8]) -> BareProgram {
        let mut child = self
            .command(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter runs");
        // Ends with what is written; a program that does not read has ended.
        let _ = child.stdin.take().expect("piped").write_all(input);
        let (log, mut stderr) = (Arc::new(Mutex::new(Vec::new())), child.stderr.take().expect("piped"));
        let lines = log.clone();
        let reader = std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut some) {
                lines.lock().expect("the log").extend_from_slice(&some[..read]);
            }
        });
        BareProgram { child, log, reader: Some(reader) }
    }

    /// Every file that the host has, and what its programs show in `/proc` and on their pages.
    pub(crate) fn evidence(&self, programs: &[&BareProgram], pages: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let paths = String::from_utf8(self.shell("find /run /var/lib -type f")).expect("paths");
        for path in paths.lines() {
            found.insert(path.to_owned(), self.shell(&format!("cat '{path}'")));
        }
        for page in pages {
            found.insert((*page).to_owned(), self.shell(&format!("curl -sf --max-time 20 {page}")));
        }
        for program in programs {
            let pid = program.child.id();
            for name in ["cmdline", "environ"] {
                let path = format!("/proc/{pid}/{name}");
                found.insert(path.clone(), self.shell(&format!("cat {path}")));
            }
            found.insert(format!("log of {pid}"), program.log().into_bytes());
        }
        found
    }
}

impl Drop for BareHost {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl BareProgram {
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().expect("the log")).into_owned()
    }

    /// Waits until it has logged this.
    pub(crate) fn wait_for(&self, words: &str) {
        wait_until(&format!("`{words}` in a log"), || {
            let log = self.log();
            assert!(!log.contains("\"error: "), "{log}");
            log.contains(words)
        });
    }

    /// Its end.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("its end");
        self.reader.take().expect("once").join().expect("the whole log");
        let log = self.log();
        (status.code(), log)
    }

    /// Ends it in order.
    pub(crate) fn stop(self) -> String {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let (code, log) = self.end();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

impl Drop for BareProgram {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("log of {}:\n{}", self.child.id(), self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
