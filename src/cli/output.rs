//! What the program prints. A reader that closes its end, as `head` does, is no failure: what
//! it does not want is dropped, and a training goes on.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether progress is not shown.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProgressTo {
    /// A bar on the terminal's last line.
    Terminal,
    /// Lines among the results.
    Lines,
    Nowhere,
}

pub(super) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

pub(super) fn progress() -> ProgressTo {
    match (
        QUIET.load(Ordering::Relaxed) || SILENT.load(Ordering::Relaxed),
        io::stderr().is_terminal(),
    ) {
        (true, _) => ProgressTo::Nowhere,
        (false, true) => ProgressTo::Terminal,
        (false, false) => ProgressTo::Lines,
    }
}

/// Prints a line to stdout.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::output::stdout(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints to stdout without a line's end.
macro_rules! say_part {
    ($($text:tt)*) => { $crate::cli::output::stdout(format_args!($($text)*)) };
}

/// Prints a line to stderr.
macro_rules! note {
    ($($text:tt)*) => { $crate::cli::output::stderr(format_args!("{}\n", format_args!($($text)*))) };
}

/// Whether nothing is printed: another process prints for this one.
static SILENT: AtomicBool = AtomicBool::new(false);

/// From now on nothing is printed, or everything again.
pub(super) fn silence(silent: bool) {
    SILENT.store(silent, Ordering::Relaxed);
}

pub(super) fn stdout(text: Arguments<'_>) {
    if SILENT.load(Ordering::Relaxed) {
        return;
    }
    let mut out = io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        stderr(format_args!("singer: stdout cannot be written: {error}\n"));
        std::process::exit(1);
    }
}

/// There is nobody left to tell where stderr fails.
pub(super) fn stderr(text: Arguments<'_>) {
    if SILENT.load(Ordering::Relaxed) {
        return;
    }
    let _ = io::stderr().lock().write_fmt(text);
}
