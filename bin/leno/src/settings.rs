//! Options of `leno control`, `manager` and `root` from the environment and from a file: the command line counts before
//! the environment, that before the file, that before the default.
//!
//! Names are made of the options that the commands have; no option is known here. None takes a secret itself, only the
//! name of a file or the number of a descriptor: a test holds that.

mod file;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use file::{FileSetting, SettingsFileError};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use thiserror::Error;

/// Commands that take them.
const COMMANDS: [&str; 3] = ["control", "manager", "root"];
/// The option that names the file.
const FILE_OPTION: &str = "config-file";

/// Why a command is not started.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    /// Wrong usage, or help that was asked for; and where that stands, if it is in a file.
    #[error("{told}")]
    Usage { told: clap::Error, place: Option<String> },
    #[error("{0}")]
    File(#[from] SettingsFileError),
    #[error("{place}: `leno {command}` has no option `{key}`; keys are the names of its options, see --help")]
    Unknown { place: String, command: String, key: String },
    #[error("{place}: `{key}` {fault}")]
    Value { place: String, key: String, fault: &'static str },
    #[error("environment variable {variable}: `leno {command}` has no option --{option}; see --help")]
    UnknownVariable { variable: String, command: String, option: String },
    #[error("--{FILE_OPTION} is given twice")]
    TwoFiles,
}

impl From<clap::Error> for SettingsError {
    fn from(told: clap::Error) -> Self {
        Self::Usage { told, place: None }
    }
}

/// The program with the options and variables that are read here.
pub(crate) fn declare(program: Command) -> Command {
    COMMANDS
        .iter()
        .fold(program, |program, name| program.mut_subcommand(name, |command| declare_for(command, name)))
}

fn declare_for(command: Command, name: &str) -> Command {
    let file = Arg::new(FILE_OPTION)
        .long(FILE_OPTION)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("YAML file of options: keys are their names without dashes, as in `listen: 0.0.0.0:15012`")
        .long_help(
            "YAML file of options: keys are their names without dashes, as in `listen: 0.0.0.0:15012`. An option that \
             may be repeated takes a list; one without a value takes true.\n\nAn option on the command line counts \
             before its variable in the environment, that before the file, that before the default. An option that is \
             repeated is taken from one of them as a whole.",
        );
    let prefix = prefix_of(name);
    command.arg(file).mut_args(move |arg| match arg.get_long() {
        Some(long) => {
            // For as long as the process lives, as the options themselves.
            let variable: &'static str = String::leak(variable_of(&prefix, long));
            arg.env(variable).hide_env_values(true)
        }
        None => arg,
    })
}

fn prefix_of(command: &str) -> String {
    format!("LENO_{}_", command.to_ascii_uppercase())
}

fn variable_of(prefix: &str, option: &str) -> String {
    format!("{prefix}{}", option.to_ascii_uppercase().replace('-', "_"))
}

/// Reads a command line, and what it does not say from where else it may be said.
///
/// # Errors
/// See [`SettingsError`].
pub(crate) fn parse(
    program: Command,
    arguments: Vec<OsString>,
    variables: &[OsString],
) -> Result<ArgMatches, SettingsError> {
    let program = declare(program);
    let name = arguments.get(1).and_then(|name| name.to_str()).unwrap_or_default();
    // What is below a command (`leno root grant`) has options of its own.
    let is_for_itself = arguments.get(2).is_none_or(|next| next.as_encoded_bytes().starts_with(b"-"));
    let command = program.find_subcommand(name).filter(|_| COMMANDS.contains(&name) && is_for_itself);
    let Some(command) = command else { return Ok(program.try_get_matches_from(arguments)?) };
    let given = Given { arguments: &arguments, variables, prefix: prefix_of(name) };
    given.check_variables(command)?;
    let Some(path) = given.file()? else { return Ok(program.try_get_matches_from(arguments)?) };
    let (mut all, mut places) = (arguments.clone(), Vec::new());
    let at = |line| format!("{}:{line}", path.display());
    for setting in file::read(&path)? {
        let option = command.get_arguments().find(|arg| arg.get_long() == Some(&setting.key));
        let option = option.filter(|option| option.get_id() != FILE_OPTION).ok_or_else(|| {
            SettingsError::Unknown { place: at(setting.line), command: name.into(), key: setting.key.clone() }
        })?;
        let words = words(option, &setting).map_err(|fault| SettingsError::Value {
            place: at(setting.line),
            key: setting.key.clone(),
            fault,
        })?;
        if !given.is_given(&setting.key) {
            places.push((format!("--{}", setting.key), setting.line));
            all.extend(words);
        }
    }
    program.try_get_matches_from(all).map_err(|told| {
        let place = place_of(&told, &places).map(at);
        SettingsError::Usage { told, place }
    })
}

/// What is said elsewhere than in a file.
struct Given<'a> {
    arguments: &'a [OsString],
    /// Names of all variables of the environment.
    variables: &'a [OsString],
    prefix: String,
}

impl Given<'_> {
    /// Values of an option on the command line, as far as that can be told without reading it.
    fn on_command_line(&self, option: &str) -> Vec<Option<&OsStr>> {
        let name = format!("--{option}");
        let mut found = Vec::new();
        for (at, argument) in self.arguments.iter().enumerate() {
            let argument = argument.as_encoded_bytes();
            let Some(rest) = argument.strip_prefix(name.as_bytes()) else { continue };
            match rest {
                [] => found.push(self.arguments.get(at + 1).map(OsString::as_os_str)),
                [b'=', ..] => found.push(value_behind(self.arguments.get(at), name.len() + 1)),
                _ => {}
            }
        }
        found
    }

    fn is_given(&self, option: &str) -> bool {
        let variable = variable_of(&self.prefix, option);
        !self.on_command_line(option).is_empty() || self.variables.iter().any(|name| *name == *variable)
    }

    fn file(&self) -> Result<Option<PathBuf>, SettingsError> {
        match self.on_command_line(FILE_OPTION).as_slice() {
            [] => Ok(std::env::var_os(variable_of(&self.prefix, FILE_OPTION)).map(PathBuf::from)),
            // Without a value it is told what is missing.
            [path] => Ok(path.map(PathBuf::from)),
            _ => Err(SettingsError::TwoFiles),
        }
    }

    /// Whether Kubernetes has set it, because there is a Service of such a name (`leno-control`) in the namespace.
    fn is_service_link(&self, variable: &str) -> bool {
        let names = self.variables.iter().filter_map(|name| name.to_str());
        names.filter_map(|name| name.strip_suffix(SERVICE_HOST)).any(|service| {
            variable.strip_prefix(service).is_some_and(|end| match end {
                "_PORT" => true,
                _ => SERVICE_ENDS
                    .iter()
                    .any(|known| if known.ends_with('_') { end.starts_with(known) } else { end == *known }),
            })
        })
    }

    /// A variable that was misspelt would be ignored without a word.
    fn check_variables(&self, command: &Command) -> Result<(), SettingsError> {
        let known = |variable: &str| {
            let is_of = |arg: &Arg| arg.get_env().is_some_and(|name| name == variable);
            command.get_arguments().any(is_of)
        };
        for variable in self.variables.iter().filter_map(|name| name.to_str()) {
            if let Some(rest) = variable.strip_prefix(&self.prefix)
                && !known(variable)
                && !self.is_service_link(variable)
            {
                return Err(SettingsError::UnknownVariable {
                    variable: variable.into(),
                    command: command.get_name().into(),
                    option: rest.to_ascii_lowercase().replace('_', "-"),
                });
            }
        }
        Ok(())
    }
}

/// Ends of the names that Kubernetes gives the variables about a Service (`enableServiceLinks` of a Pod). The first is
/// there for each Service.
const SERVICE_HOST: &str = "_SERVICE_HOST";
const SERVICE_ENDS: [&str; 4] = [SERVICE_HOST, "_SERVICE_PORT", "_SERVICE_PORT_", "_PORT_"];

fn value_behind(argument: Option<&OsString>, at: usize) -> Option<&OsStr> {
    // What is before it is ASCII. A name of a file that is no text can be given as a word of its own.
    argument?.to_str()?.get(at..).map(OsStr::new)
}

/// A setting as words of a command line.
fn words(option: &Arg, setting: &FileSetting) -> Result<Vec<OsString>, &'static str> {
    let is_flag = matches!(option.get_action(), ArgAction::SetTrue);
    let is_repeated = matches!(option.get_action(), ArgAction::Append);
    match setting.values.as_slice() {
        [] => Err("has no value"),
        [value] if is_flag => match value.as_str() {
            "true" => Ok(vec![format!("--{}", setting.key).into()]),
            "false" => Ok(Vec::new()),
            _ => Err("is either true or false"),
        },
        [_, _, ..] if !is_repeated => Err("takes one value"),
        values => Ok(values.iter().map(|value| format!("--{}={value}", setting.key).into()).collect()),
    }
}

/// The line of the file that an error is about.
fn place_of(told: &clap::Error, places: &[(String, u64)]) -> Option<u64> {
    if told.kind() == ErrorKind::DisplayHelp {
        return None;
    }
    let named = |option: &str| match told.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.split([' ', '=']).next() == Some(option),
        _ => false,
    };
    places.iter().find(|(option, _)| named(option)).map(|(_, line)| *line)
}

#[cfg(test)]
mod tests;
