//! Where output goes. Data and talk never mix, so that both can be piped.

use crate::exit::Failure;
use std::io::{IsTerminal, Write};

/// How talk is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Colour,
}

/// Stdout and stderr, or two buffers in tests.
pub(crate) struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// For stderr.
    pub(crate) paint: Paint,
    /// For stdout.
    data_paint: Paint,
}

impl Console {
    /// Any two writers, plain.
    pub(crate) fn new(out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        Self { out, err, paint: Paint::Plain, data_paint: Paint::Plain }
    }

    /// The process's own. Colour only on a terminal, never with `NO_COLOR` (no-color.org) or a dumb one.
    pub(crate) fn real() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let paint = |is_terminal: bool| match is_terminal && !set("NO_COLOR") && !dumb {
            true => Paint::Colour,
            false => Paint::Plain,
        };
        let data_paint = paint(std::io::stdout().is_terminal());
        let paint = paint(std::io::stderr().is_terminal());
        Self { paint, data_paint, ..Self::new(Box::new(std::io::stdout()), Box::new(std::io::stderr())) }
    }

    /// How data may be painted.
    pub(crate) fn paint_of_data(&self) -> Paint {
        self.data_paint
    }

    /// Writes to stdout. A reader that went away is no failure of ours.
    pub(crate) fn data(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    /// Writes a line to stderr.
    pub(crate) fn say(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}");
    }

    /// Prints a failure with its causes and returns its exit code.
    pub(crate) fn failure(&mut self, failure: &Failure) -> i32 {
        let word = paint(self.paint, Tone::Bad, "error");
        self.say(&format!("{word}: {:#}", failure.cause));
        failure.code
    }
}

/// What a piece of text expresses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Good,
    Bad,
    Doubt,
    Quiet,
}

/// `text` in the colour of its tone.
pub(crate) fn paint(paint: Paint, tone: Tone, text: &str) -> String {
    let code = match (paint, tone) {
        (Paint::Plain, _) => return text.to_owned(),
        (_, Tone::Good) => "32",
        (_, Tone::Bad) => "1;31",
        (_, Tone::Doubt) => "33",
        (_, Tone::Quiet) => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
