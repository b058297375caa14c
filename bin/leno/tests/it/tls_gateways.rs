//! TLS at a gateway, with clients of others: `docs/tls-gateways.md` keeps its word, and the key is nowhere.

use crate::demo::{DEADLINE, Guard, LENO, text};
use crate::gateway::{backend, free_address};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

const PAGE: &str = include_str!("../../../../docs/tls-gateways.md");
const SHOWN_BACKEND: &str = "9000";
const SHOWN_HTTPS: &str = "8443";
const SHOWN_HTTP: &str = "8080";
const GATEWAY: &str = "leno gateway -f conf &";

/// Commands of the page, each with what it prints. A here-document belongs to its command.
fn commands() -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let (mut is_block, mut is_shown, mut is_document) = (false, false, false);
    for line in PAGE.lines() {
        if let Some(language) = line.strip_prefix("```") {
            // What has a language is shown, and not run.
            (is_block, is_shown) = (!is_block && !is_shown && language.is_empty(), language == "yaml");
            continue;
        }
        match (line.strip_prefix("$ "), commands.last_mut()) {
            _ if !is_block => {}
            (_, Some((command, _))) if is_document => {
                command.push_str(&format!("\n{line}"));
                is_document = line != "EOF";
            }
            (Some(command), _) => {
                is_document = command.ends_with("<<EOF");
                commands.push((command.to_owned(), String::new()));
            }
            (None, Some((_, printed))) => printed.push_str(&format!("{line}\n")),
            (None, None) => panic!("{line} is printed before any command"),
        }
    }
    commands
}

fn port(address: &str) -> String {
    address.rsplit_once(':').expect("a port").1.to_owned()
}

fn run(command: &str, directory: &Path) -> Output {
    // The page's `umask` is for the commands after it.
    let command = format!("umask 077; set -e; {command}");
    Command::new("timeout")
        .args(["60", "bash", "-c", &command])
        .current_dir(directory)
        .output()
        .expect("bash runs")
}

/// Every file below a directory.
fn files(directory: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).expect("read").map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).expect("read"));
        }
    }
}

#[test]
fn the_page_on_tls_keeps_its_word_and_keys_are_nowhere() {
    let bed = tempfile::tempdir().expect("a directory");
    let state = tempfile::tempdir().expect("a directory");
    let ports: [(&str, String); 3] = [
        (SHOWN_BACKEND, port(&backend("site").to_string())),
        (SHOWN_HTTPS, port(&free_address())),
        (SHOWN_HTTP, port(&free_address())),
    ];
    let admin = port(&free_address());
    let real =
        |text: &str| ports.iter().fold(text.to_owned(), |text, (shown, port)| text.replace(shown, port));
    let mut running: Option<Guard<_>> = None;
    for (command, printed) in commands() {
        if command == GATEWAY {
            let out = std::fs::File::create(state.path().join("stderr")).expect("created");
            let log = state.path().join("access.log");
            let mut leno = Command::new(LENO);
            leno.args(["gateway", "-f", "conf", "--admin-port", &admin, "--access-log"]).arg(&log);
            let mut child = leno.current_dir(bed.path()).stderr(out).spawn().expect("leno runs");
            running = Some(Guard(move || drop((child.kill(), child.wait()))));
            continue;
        }
        let (command, printed) = (real(&command), real(&printed));
        let began = Instant::now();
        loop {
            let output = run(&command, bed.path());
            let is_as_shown = output.status.success() && String::from_utf8_lossy(&output.stdout) == printed;
            if is_as_shown {
                break;
            }
            // Only what asks the gateway may come a moment too early.
            let may_wait = running.is_some() && command.starts_with("curl") && began.elapsed() < DEADLINE;
            let said = std::fs::read_to_string(state.path().join("stderr")).unwrap_or_default();
            assert!(may_wait, "{command}\nprints\n{}\nnot\n{printed}\n{said}", text(&output));
        }
    }
    let mut evidence = BTreeMap::new();
    files(state.path(), &mut evidence);
    for page in ["config_dump", "certs", "listeners", "metrics", "clusters"] {
        let url = format!("http://127.0.0.1:{admin}/{page}");
        let output = Command::new("curl").args(["-sf", &url]).output().expect("curl runs");
        assert!(output.status.success(), "{page}: {}", text(&output));
        evidence.insert(page.to_owned(), output.stdout);
    }
    drop(running);
    assert!(evidence.len() >= 7, "{:?}", evidence.keys());
    for key in ["shop.example.key", "wild.example.key"] {
        let pem = std::fs::read_to_string(bed.path().join(key)).expect("a key");
        // A line in the middle: base64 of the secret number itself, and of nothing else.
        let body = pem.lines().nth(1).expect("a line").to_owned();
        let inside = base64_of(&pem);
        for (name, content) in &evidence {
            let holds = |what: &str| content.windows(what.len()).any(|window| window == what.as_bytes());
            assert!(!holds(&body) && !holds(&inside[24..56]), "the key of {key} in {name}");
        }
    }
    let certs = String::from_utf8_lossy(&evidence["certs"]).into_owned();
    assert!(certs.contains("*.wild.example") && certs.contains("Secret/shop-example.default"), "{certs}");
}

/// As it stands in a Secret.
fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
