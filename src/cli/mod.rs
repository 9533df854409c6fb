//! The program: arguments, configuration files, and one file for each command.
#![warn(clippy::print_stdout, clippy::print_stderr)]

// First, as its macros are used by what follows.
#[macro_use]
mod output;

mod args;
mod bench;
mod bench_data;
mod bench_memory;
mod bench_shaders;
mod bench_trace;
mod config;
mod console;
mod demo;
mod devices;
mod distill;
mod evaluate;
mod export;
mod fit;
mod fit_report;
mod hints;
mod inspect;
mod list_models;
mod models;
mod nullspace;
mod plan;
mod plant;
mod preprocessing;
mod pretrain;
mod probe;
mod progress;
mod ranks;
mod recover;
mod report;
mod session;
mod shell;
mod study;
mod track;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

use crate::error::Error;

/// Runs the program and gives its exit code: 0 for success, 1 for a failure,
/// 2 for unusable arguments, 130 after Ctrl-C.
pub fn main() -> ExitCode {
    main_with(std::env::args_os())
}

/// As [`main`], with these arguments; the first is the program's name.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = Args::parse_from(arguments);
    silence_readers();
    output::set_quiet(args.quiet);
    if args.verbose > 0 {
        let level =
            if args.verbose == 1 { log::LevelFilter::Info } else { log::LevelFilter::Debug };
        env_logger::Builder::new().filter_level(level).init();
    }
    let outcome = match args.command {
        Command::Demo(args) => demo::run(&args),
        Command::Distill(args) => distill::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Fit(args) => fit::run(&args),
        Command::Pretrain(args) => pretrain::run(args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Nullspace(args) => nullspace::run(&args),
        Command::Plant(args) => plant::run(&args),
        Command::Study(args) => study::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Recover(args) => recover::run(&args),
        Command::Models(args) => list_models::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::manual(&args),
        Command::Bench(args) => bench::run(&args),
        Command::BenchShaders(args) => bench_shaders::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong, and what can be done about it.
fn complain(error: &Error) {
    match hints::hint(error) {
        Some(hint) => note!("singer: {error}; {hint}"),
        None => note!("singer: {error}"),
    }
}

/// Damaged Parquet files make their reader panic. The library turns that into an error, which
/// says enough.
fn silence_readers() {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let reader =
            |at: &std::panic::Location<'_>| at.file().replace('\\', "/").contains("/parquet-");
        if !panic.location().is_some_and(reader) {
            show(panic);
        }
    }));
}
