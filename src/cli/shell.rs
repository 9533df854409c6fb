//! What a shell wants of a program: completions and manual pages, from the arguments' definition.

use std::fs;
use std::process::ExitCode;

use clap::CommandFactory;

use super::args::{Args, CompletionsArgs, ManArgs};
use crate::error::{Error, Result};

const NAME: &str = "singer";

pub(super) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), NAME, &mut script);
    say_part!("{}", String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}

/// One page for the program and one for each command.
pub(super) fn manual(args: &ManArgs) -> Result<ExitCode> {
    let folder = &args.folder;
    let written = fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Args::command().name(NAME), folder));
    written.map_err(|error| Error::io(folder, error))?;
    say!(
        "wrote manual pages to {}; read one by `man {}/singer.1`",
        folder.display(),
        folder.display()
    );
    Ok(ExitCode::SUCCESS)
}
