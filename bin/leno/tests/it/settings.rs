//! Options of the planes from a file and from the environment, and what a service manager is told of them.

use crate::bare::{BareHost, BareProgram};
use crate::demo::LENO;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// `leno root` with these variables and further words of its command line.
fn root(host: &BareHost, variables: &[&str], words: &[&str]) -> BareProgram {
    let root = host.spawn_program(&[&["env"], variables, &[LENO, "root"], words].concat());
    root.wait_for("root held");
    root
}

#[test]
fn the_command_line_counts_before_the_environment_and_that_before_the_file() {
    let host = BareHost::start();
    host.shell("echo 'trust-domain: file.example' > /run/root.yaml");
    let variable = "LENO_ROOT_TRUST_DOMAIN=variable.example";
    let (file, option) = (["--config-file", "/run/root.yaml"], ["--trust-domain", "option.example"]);
    for (variables, words, expected) in [
        (&[][..], &[][..], "cluster.local"),
        (&[], &file, "file.example"),
        (&["LENO_ROOT_CONFIG_FILE=/run/root.yaml"], &[], "file.example"),
        (&[variable], &file, "variable.example"),
        (&[variable], &option, "option.example"),
        (&[], &[file[0], file[1], option[0], option[1]], "option.example"),
    ] {
        let log = root(&host, variables, words).stop();
        assert!(log.contains(&format!("\"trust_domain\":\"{expected}\"")), "{variables:?} {words:?}: {log}");
    }
}

#[test]
fn help_names_variables_and_shows_no_value_of_them() {
    for command in ["control", "manager", "root"] {
        let variable = format!("LENO_{}_LISTEN", command.to_uppercase());
        let help = Command::new(LENO).args([command, "--help"]).env(&variable, "tls://10.9.8.7:1").output();
        let help = String::from_utf8(help.expect("it runs").stdout).expect("text");
        assert!(help.contains(&format!("[env: {variable}]")) && !help.contains("10.9.8.7"), "{help}");
        assert!(help.contains("that before the file, that before the default"), "{help}");
    }
    // Which issuer there is, in a file that is not there.
    let told =
        Command::new(LENO).args(["control", "--config-file", "/no/such/file"]).output().expect("it runs");
    assert_eq!(told.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&told.stderr).starts_with("error: read /no/such/file: "), "{told:?}");
}

/// What a service manager hears until it hears this.
fn heard(socket: &UnixDatagram, expected: &str) {
    let mut bytes = [0; 1024];
    loop {
        let length = socket.recv(&mut bytes).expect("a message within the time");
        if String::from_utf8_lossy(&bytes[..length]).lines().any(|line| line == expected) {
            return;
        }
    }
}

#[test]
fn a_service_manager_hears_that_a_plane_is_ready_alive_and_stopping() {
    let host = BareHost::start();
    let directory = tempfile::tempdir().expect("a directory");
    let listen = |name: &str| {
        let path = directory.path().join(name);
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        (socket, path)
    };
    let supervised = |path: &Path, words: &[&str]| {
        let variable = format!("NOTIFY_SOCKET={}", path.display());
        let command = ["env", &variable, "WATCHDOG_USEC=2000000", LENO];
        host.spawn_program(&[&command[..], words].concat())
    };
    let (socket, path) = listen("root");
    let root = supervised(&path, &["root"]);
    heard(&socket, "READY=1");
    let issuer = ["--issuer", "unix:/run/leno/root.sock", "--state-dir", "/var/lib/state"];
    let ports = ["--listen", "127.0.0.1:15112", "--metrics", "127.0.0.1:15114"];
    for words in [
        [&["control", "--cluster", "west"][..], &issuer].concat(),
        [&["manager"][..], &issuer, &ports].concat(),
    ] {
        let (socket, path) = listen(words[0]);
        let plane = supervised(&path, &words);
        for expected in ["READY=1", "WATCHDOG=1", "WATCHDOG=1"] {
            heard(&socket, expected);
        }
        plane.stop();
        heard(&socket, "STOPPING=1");
    }
    heard(&socket, "WATCHDOG=1");
    root.stop();
    heard(&socket, "STOPPING=1");
}
