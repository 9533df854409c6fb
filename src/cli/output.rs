//! What the program prints. A reader that closes its end, as `head` does, is no failure: what
//! it does not want is dropped, and a training goes on.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

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

pub(super) fn stdout(text: Arguments<'_>) {
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
    let _ = io::stderr().lock().write_fmt(text);
}
