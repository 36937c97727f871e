//! The `doorward` binary: the command line, and the composition of the house.
//!
//! `arguments` says what can be asked; `settings` turns files, environment and arguments into one
//! configuration; `data_dir` is the place on disk; `keys` makes the key ring; `commands` holds one
//! room a subcommand, of which `run` puts gateway and admin API together.
//!
//! Modules in reading order; each uses only those above it.

mod arguments;

mod data_dir;

mod settings;

mod keys;

mod log;

mod open_files;

mod pages;

mod moment;

mod commands;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::arguments::Arguments;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    commands::execute(arguments).unwrap_or_else(|error| {
        // One paragraph: the fault, and what it comes from.
        eprintln!("doorward: {error:#}");
        ExitCode::FAILURE
    })
}
