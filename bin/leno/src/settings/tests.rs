#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use clap::CommandFactory;

/// What `leno` makes of a command line, a file and names of variables: words of it, or what is told.
fn check(arguments: &str, file: &str, variables: &[&str], expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("options.yaml");
    std::fs::write(&path, file).unwrap();
    let mut all: Vec<OsString> = vec!["leno".into()];
    all.extend(arguments.split(' ').map(OsString::from));
    all.extend(["--config-file".into(), path.clone().into()]);
    let variables: Vec<OsString> = variables.iter().map(OsString::from).collect();
    let told = match parse(crate::Leno::command(), all, &variables) {
        Ok(matches) => {
            let (_, matches) = matches.subcommand().unwrap();
            let value = |id: &str| {
                let values = matches.get_raw(id).into_iter().flatten();
                values.map(|value| value.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
            };
            ["cluster", "listen", "api", "config", "api_insecure_loopback"].map(value).join("|")
        }
        Err(SettingsError::Usage { told, place }) => {
            format!("{} {}", place.unwrap_or_default(), told.to_string().lines().next().unwrap_or_default())
        }
        Err(error) => error.to_string(),
    };
    let told = told.replace(path.to_str().unwrap(), "FILE");
    assert!(told.contains(expected), "{arguments} with {file:?}: {told}");
}

const WEST: &str = "control --cluster west --state-dir s";
const SOCKET: &str = "unix:/run/leno/control.sock";

#[test]
fn what_the_command_line_does_not_say_is_taken_from_the_file() {
    check("control", "cluster: east\nstate-dir: s\n", &[], &format!("east|[::]:15012|{SOCKET}||false"));
    check(WEST, "cluster: east\nlisten: 10.0.0.1:1\n", &[], &format!("west|10.0.0.1:1|{SOCKET}||false"));
    check(WEST, "api: [unix:/a, 'unix:/b']\nconfig: c\n", &[], "west|[::]:15012|unix:/a unix:/b|c|false");
    check(WEST, "api:\n- unix:/a\napi-insecure-loopback: true\n", &[], "|unix:/a||true");
    check(WEST, "api-insecure-loopback: false\n", &[], "||false");
    check(WEST, "# nothing\n\n", &[], SOCKET);
    check(WEST, "", &[], SOCKET);
    // One is taken as a whole.
    check(&format!("{WEST} --api unix:/c"), "api: [unix:/a, unix:/b]\n", &[], "|unix:/c|");
    check(&format!("{WEST} --api=unix:/c"), "api: [unix:/a, unix:/b]\n", &[], "|unix:/c|");
    // What two options have to do with one another counts in the file, too.
    check(WEST, "config-fallback: [d]\n", &[], "required arguments were not provided");
    check(&format!("{WEST} --config-fallback d"), "config: c\n", &[], "|c|");
}

#[test]
fn a_variable_counts_before_the_file() {
    // Its value is read from the environment, where it is not: the default is left.
    check(WEST, "listen: 10.0.0.1:1\n", &["LENO_CONTROL_LISTEN", "PATH"], "|[::]:15012|");
    check(WEST, "", &["LENO_CONTROL_LISTNE"], "LENO_CONTROL_LISTNE: `leno control` has no option --listne");
    check(WEST, "", &["LENO_MANAGER_LISTNE", "LENO_SERVER"], "west|");
    // Kubernetes sets these for a Service `leno-control`, and no others.
    let links = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_XDS", "PORT", "PORT_15012_TCP_ADDR"];
    let links = links.map(|end| format!("LENO_CONTROL_{end}"));
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    check(WEST, "", &links, "west|");
    check(WEST, "", &["LENO_CONTROL_PORT"], "LENO_CONTROL_PORT: `leno control` has no option --port");
    check(WEST, "", &["LENO_CONTROL_SERVICE_HOST", "LENO_CONTROL_LISTNE"], "no option --listne");
}

#[test]
fn what_has_no_reading_is_told_with_its_line() {
    for (file, expected) in [
        ("cluster: a\nclustre: b\n", "FILE:2: `leno control` has no option `clustre`"),
        ("help: true\n", "FILE:1: `leno control` has no option `help`"),
        ("config-file: other\n", "FILE:1: `leno control` has no option `config-file`"),
        ("cluster:\n", "FILE:1: `cluster` has no value"),
        ("api: []\n", "FILE:1: `api` has no value"),
        ("cluster: [a, b]\n", "FILE:1: `cluster` takes one value"),
        ("\napi-insecure-loopback: 1\n", "FILE:2: `api-insecure-loopback` is either true or false"),
        ("\n\nlisten: nowhere\n", "FILE:3 error: invalid value 'nowhere' for '--listen <ADDR>'"),
        ("certificate-ttl-s: 5\n", "FILE:1 error: invalid value '5'"),
        ("cluster: a\ncluster: b\n", "cluster"),
        ("- cluster\n", "FILE: "),
        ("cluster: {a: b}\n", "FILE: "),
        ("api: [[a]]\n", "FILE: "),
        ("api: [", "FILE: "),
    ] {
        check("control --state-dir s", file, &[], expected);
    }
}

#[test]
fn other_commands_are_read_as_they_are() {
    let parse = |arguments: &[&str]| {
        parse(crate::Leno::command(), arguments.iter().map(OsString::from).collect(), &[])
    };
    assert!(parse(&["leno", "status"]).is_ok());
    assert!(parse(&["leno", "root", "grant", "--cluster", "west"]).is_ok());
    assert!(matches!(parse(&["leno", "status", "--config-file", "f"]), Err(SettingsError::Usage { .. })));
    assert!(matches!(
        parse(&["leno", "control", "--config-file", "a", "--config-file=b"]),
        Err(SettingsError::TwoFiles)
    ));
    let told = parse(&["leno", "control", "--config-file=/no/such/file"]).unwrap_err().to_string();
    assert!(told.starts_with("read /no/such/file: "), "{told}");
}

#[test]
fn the_file_in_the_documentation_has_a_reading() {
    let page = include_str!("../../../../docs/settings.md");
    let file = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    check("control", file, &[], "west|[::]:15012|unix:/run/leno/control.sock 10.0.0.2:15080|");
}

/// The environment is shown in `/proc`, arguments by `ps`: no option of these commands takes a secret itself.
#[test]
fn no_option_takes_a_secret() {
    let program = declare(crate::Leno::command());
    for name in COMMANDS {
        let command = program.find_subcommand(name).unwrap();
        for option in command.get_arguments().filter_map(Arg::get_long) {
            let is_secret =
                ["key", "token", "secret", "password", "grant"].iter().any(|word| option.contains(word));
            assert!(
                !is_secret || option.ends_with("-file") || option.ends_with("-fd"),
                "leno {name} --{option}"
            );
        }
    }
}
