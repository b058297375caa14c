//! The example of the README keeps its word: `examples/gateway`, with clients and servers of others.

use crate::demo::{DEADLINE, Guard, LENO, text};
use crate::gateway::free_address;
use crate::readme::{README, are_as_shown, blocks, session};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/gateway");
/// Where the README's reader stands first.
const GO_THERE: &str = "cd examples/gateway && ";
/// Of the example: a test takes free ones.
const SHOWN_PORTS: [&str; 7] = ["8443", "8053", "9001", "9002", "9003", "9004", "9005"];

fn real(text: &str, ports: &[String]) -> String {
    SHOWN_PORTS.iter().zip(ports).fold(text.to_owned(), |text, (shown, port)| text.replace(shown, port))
}

/// The example's files, with these ports.
fn copy(from: &Path, to: &Path, ports: &[String]) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("the example").map_while(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            copy(&path, &to.join(name), ports);
        } else {
            let text = std::fs::read_to_string(&path).expect("a text");
            std::fs::write(to.join(name), real(&text, ports)).expect("written");
        }
    }
}

/// What runs until the end of the test.
fn start(command: &str, directory: &Path) -> Guard<impl FnMut() + use<>> {
    let mut words = command.split_whitespace();
    let program = match words.next() {
        Some("leno") => LENO,
        Some(other) => other,
        None => panic!("no command"),
    };
    let mut started = Command::new(program);
    started.args(words);
    if program == LENO {
        started.args(["--admin-port", "0"]);
    }
    let child = started.current_dir(directory).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child: Child = child.expect("it runs");
    Guard(move || drop((child.kill(), child.wait())))
}

#[test]
fn the_gateway_of_the_readme_serves_everything_that_it_shows() {
    let bed = tempfile::tempdir().expect("a directory");
    let port = |_| free_address().rsplit_once(':').expect("a port").1.to_owned();
    let ports: Vec<String> = SHOWN_PORTS.iter().map(port).collect();
    copy(Path::new(EXAMPLE), bed.path(), &ports);
    let (mut running, mut asked) = (Vec::new(), 0);
    for (command, shown) in blocks(README).iter().filter(|block| block.language == "bash").flat_map(session) {
        let command = real(&command, &ports).replace(GO_THERE, "");
        if let Some(command) = command.strip_suffix(" &") {
            running.push(start(command, bed.path()));
            continue;
        }
        let began = Instant::now();
        loop {
            let mut bash = Command::new("timeout");
            let output =
                bash.args(["60", "bash", "-c", &command]).current_dir(bed.path()).stdin(Stdio::null());
            let output = output.output().expect("bash runs");
            if output.status.success() && are_as_shown(&shown, &String::from_utf8_lossy(&output.stdout)) {
                break;
            }
            // Servers may not be there yet.
            let may_wait = running.len() == 2 && began.elapsed() < DEADLINE;
            assert!(may_wait, "{command}\nprinted {}\nthe README shows\n{}", text(&output), shown.join("\n"));
        }
        asked += usize::from(!shown.is_empty());
    }
    assert_eq!((running.len(), asked), (2, 5), "the example was found");
}
