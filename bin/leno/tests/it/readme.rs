//! The README keeps its word: every command block in it is run, and prints what it shows.
//!
//! A block without a language that has lines with `$ ` is a session: those lines are run in one demo, in order,
//! and the others are what they print. A `yaml` block is written to the file that the line before it names.

use crate::demo::{DEADLINE, Demo, Guard, LENO, text};
use crate::gateway::{answers, backend, free_address};
use lab::client::Client;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

pub(crate) const README: &str = include_str!("../../../../README.md");
const MAKEFILE: &str = include_str!("../../../../Makefile");
/// The entrance that the README shows; a test takes any free port.
const SHOWN_ENTRANCE: &str = "127.0.0.1:8080";
/// Commands with one of these words change something, so they have one try. Others may come a moment too early.
const CHANGING: [&str; 7] = ["apply", "scale", "kill", "start", "pause", "resume", "sed"];

pub(crate) struct Block {
    /// What stands behind the backticks.
    pub(crate) language: String,
    /// The last line with text before it.
    before: String,
    lines: Vec<String>,
}

pub(crate) fn blocks(markdown: &str) -> Vec<Block> {
    let (mut found, mut open, mut before) = (Vec::new(), None, "");
    for line in markdown.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => found.push(block),
            (Some(language), None) => {
                open = Some(Block { language: language.into(), before: before.into(), lines: Vec::new() });
            }
            (None, Some(mut block)) => {
                let Block { lines, .. } = &mut block;
                lines.push(line.to_owned());
                open = Some(block);
            }
            (None, None) if !line.trim().is_empty() => before = line,
            (None, None) => {}
        }
    }
    found
}

/// Commands and what they print.
pub(crate) fn session(block: &Block) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in &block.lines {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, printed))) => printed.push(line.clone()),
            (None, None) => panic!("{line} is printed before any command"),
        }
    }
    commands
}

/// A line without what differs from run to run: ids, process ids, ages, and how many of a sample.
fn lasting(line: &str) -> String {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let is_id = |word: &str| word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let word = |word: &str| -> String {
        match word.rsplit_once('-') {
            Some((name, id)) if is_id(id) => return format!("{name}-ID"),
            _ if is_id(word) => return "ID".into(),
            _ if word.strip_suffix(['s', 'm', 'h']).is_some_and(is_number) => return "AGE".into(),
            _ => {}
        }
        match word.split_once('(') {
            Some((program, pid)) if pid.strip_suffix(')').is_some_and(is_number) => format!("{program}(PID)"),
            _ => word.to_owned(),
        }
    };
    let mut words: Vec<String> = line.split_whitespace().map(word).collect();
    if line.starts_with("  ") && words.first().is_some_and(|first| is_number(first)) {
        words[0] = "COUNT".into();
    }
    // Metrics that count on when a command is run once more.
    if line.starts_with("leno_")
        && let Some(last) = words.last_mut()
    {
        *last = "COUNT".into();
    }
    // How curl calls a connection that was closed before it had sent anything.
    words.join(" ").replace("exit 52", "exit 56")
}

/// Whether a line is as shown; `...` stands for anything.
pub(crate) fn is_as_shown(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (lasting(shown), lasting(printed));
    let parts: Vec<&str> = shown.split("...").collect();
    let [first, middle @ .., last] = parts.as_slice() else { return shown == printed };
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// The same of all lines; a line `...` stands for any number of them.
pub(crate) fn are_as_shown(shown: &[String], printed: &str) -> bool {
    let mut printed = printed.lines();
    let mut may_skip = false;
    for line in shown {
        if line == "..." {
            may_skip = true;
            continue;
        }
        let found = if may_skip {
            printed.any(|printed| is_as_shown(line, printed))
        } else {
            printed.next().is_some_and(|printed| is_as_shown(line, printed))
        };
        if !found {
            return false;
        }
        may_skip = false;
    }
    may_skip || printed.next().is_none()
}

#[test]
fn what_is_not_as_shown_is_seen() {
    // The control run of the test's own eyes.
    let shown = ["a-0123456789ab SYNCED 0s", "...", "x ... z"].map(str::to_owned);
    assert!(are_as_shown(&shown, "a-ba9876543210   SYNCED 4s\nb\nx y z\n"));
    assert!(!are_as_shown(&shown, "a-ba9876543210   STALE 4s\nb\nx y z\n"), "another state");
    assert!(!are_as_shown(&shown, "a-ba9876543210   SYNCED 4s\nb\nx y\n"), "another end");
    assert!(!are_as_shown(&shown, "a-ba9876543210   SYNCED 4s\nx y z\nmore\n"), "a line more");
    assert!(are_as_shown(&["   9 \"v2\"".to_owned()], "     12 \"v2\"\n"));
    assert!(!are_as_shown(&["   9 \"v2\"".to_owned()], "     12 \"v1\"\n"));
    assert!(!are_as_shown(&[], "error\n"), "nothing is shown, and something is printed");
}

/// Runs one command as the README's reader would, who has called the program `leno`.
fn shell(demo: &Demo, directory: &Path, command: &str) -> Output {
    let entrances = demo.status().entrances;
    let script = format!(
        "exec 2>&1\nleno() {{ if [ \"$1\" = demo ]; then shift; '{LENO}' demo --name '{}' \"$@\"; \
         else '{LENO}' \"$@\"; fi; }}\n{}",
        demo.name,
        command.replace(SHOWN_ENTRANCE, &entrances["edge"])
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(directory).stdin(Stdio::null()).output().expect("bash runs")
}

fn expect(demo: &Demo, directory: &Path, command: &str, shown: &[String]) {
    let began = Instant::now();
    let is_change = command.split_whitespace().any(|word| CHANGING.contains(&word));
    loop {
        let output = shell(demo, directory, command);
        if are_as_shown(shown, &String::from_utf8_lossy(&output.stdout)) {
            return;
        }
        assert!(
            !is_change && began.elapsed() < DEADLINE,
            "{command}\nprinted {}\nthe README shows\n{}",
            text(&output),
            shown.join("\n")
        );
    }
}

/// A demo with what its start prints.
fn start() -> (Demo, String) {
    let (me, name) = (std::process::id().to_string(), format!("readme-{}", std::process::id()));
    let mut leno = Command::new(LENO);
    leno.args(["demo", "--detach", "--name", &name, "--port", "0", "--with-pid", &me]);
    let output = leno.stdin(Stdio::null()).output().expect("leno runs");
    assert!(output.status.success(), "{}", text(&output));
    let client = Client::connect(&name).expect("the lab answers");
    (Demo { name, client }, String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_tour_prints_what_the_readme_shows() {
    let (demo, mut started) = start();
    for (cluster, address) in demo.status().entrances {
        let port = ["edge", "west", "east"].iter().position(|name| *name == cluster).expect("a cluster");
        started = started.replace(&address, &format!("127.0.0.1:{}", 8080 + port));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mut commands = 0;
    for block in blocks(README) {
        let is_session = block.lines.iter().any(|line| line.starts_with("$ "));
        match block.language.as_str() {
            "yaml" => {
                let name =
                    block.before.rsplit('`').nth(1).expect("the line before a yaml block names its file");
                std::fs::write(directory.path().join(name), block.lines.join("\n")).expect("written");
            }
            "" if is_session => {
                for (command, shown) in session(&block) {
                    println!("$ {command}");
                    expect(&demo, directory.path(), &command, &shown);
                    commands += 1;
                }
            }
            "" if block.lines.iter().any(|line| line.contains('─')) => {} // the picture
            "" => {
                // All but the last line, which says how to end it: this one runs in the background.
                let (last, shown) = block.lines.split_last().expect("lines");
                assert!(last.starts_with("Ready after"), "{last}");
                let shown = [shown, &["...".to_owned()]].concat();
                assert!(are_as_shown(&shown, &started), "{started}\nthe README shows\n{}", shown.join("\n"));
            }
            "sh" => {}      // the test below
            "console" => {} // `install`
            "bash" => {}    // `examples`
            other => panic!("nobody runs blocks in {other}"),
        }
    }
    assert!(commands > 15, "the tour was found: {commands} commands");
}

#[test]
fn the_readme_s_other_commands_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let to = backend("one").to_string();
    let blocks = blocks(README);
    for line in blocks.iter().filter(|block| block.language == "sh").flat_map(|block| &block.lines) {
        let command = line.split(" #").next().unwrap_or_default().trim();
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["make", target] => {
                assert!(MAKEFILE.lines().any(|line| line.starts_with(&format!("{target}:"))), "{line}");
            }
            ["leno", "gateway", arguments @ ..] => gateway(arguments, &to, directory.path()),
            _ => panic!("nobody runs {line}"),
        }
    }
}

/// Runs `leno gateway` as shown, with other addresses; what it prints is the directory that the last one reads.
fn gateway(arguments: &[&str], to: &str, directory: &Path) {
    let from = free_address();
    let file = directory.join("gateway.yaml");
    let mut leno = Command::new(LENO);
    leno.args(["gateway", "--admin-port", "0"]);
    for argument in arguments {
        match *argument {
            SHOWN_ENTRANCE => leno.arg(&from),
            "127.0.0.1:9000" => leno.arg(to),
            "DIR" => leno.arg(directory),
            other => leno.arg(other),
        };
    }
    if arguments.contains(&"--print") {
        let output = leno.output().expect("leno runs");
        assert!(output.status.success(), "{}", text(&output));
        std::fs::write(&file, output.stdout).expect("written");
        return;
    }
    // Documents say themselves where they listen.
    let from = match std::fs::read_to_string(&file) {
        Ok(yaml) if arguments.contains(&"DIR") => {
            let port = yaml.lines().find_map(|line| line.trim().strip_prefix("port: ")).expect("a port");
            format!("127.0.0.1:{port}")
        }
        _ => from,
    };
    let mut child = leno.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("leno runs");
    let _guard = Guard(move || drop((child.kill(), child.wait())));
    crate::demo::wait_until(&format!("{arguments:?} answers"), || answers(&from, "/").is_some());
}
