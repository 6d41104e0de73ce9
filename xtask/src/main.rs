//! Host tool of `inflight`: builds the images, runs boards, captures consoles, writes reports.

#![expect(unreachable_pub, reason = "nothing of a binary is reachable; `pub` marks what a module shares with others")]

mod bench;
mod boards;
mod build;
mod capture;
mod child;
mod ci;
mod cli;
mod completions;
mod dist;
mod exit;
mod flash;
mod iort;
mod kernel;
mod lava;
mod lock;
mod power;
mod redfish;
mod report;
mod run;
mod serial;
mod serve;
mod setup;
mod template;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command};
use exit::Exit;

fn main() -> ExitCode {
    exit::hide_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let result = std::panic::catch_unwind(|| dispatch(&cli.command));
    match result {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => {
            crate::exit::tell!("error: {}", exit::one_line(&error));
            exit::status_of(&error).into()
        }
        // The hook has printed its line. No verdict came of it.
        Err(_) => Exit::Lost.into(),
    }
}

fn dispatch(command: &Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Test(args) => test::run(args),
        Command::Build(args) => build::run(args),
        Command::Flash(args) => flash::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Report(args) => report::run(args),
        Command::Iort(args) => iort::run(args),
        Command::Lava(args) => lava::run(args),
        Command::Boards(args) => boards::run(args),
        Command::Doctor(args) => setup::doctor(args),
        Command::Ci(args) => ci::run(args),
        Command::Dist(args) => dist::run(args),
        Command::Completions(args) => completions::run(args),
    }
}

/// Prints what clap has to say: help as it is, an error on one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        print!("{error}");
        return Exit::Pass.into();
    }
    crate::exit::tell!("{}", exit::clap_line(&error.to_string()));
    Exit::Usage.into()
}
