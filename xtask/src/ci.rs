//! `cargo xtask ci`: every check that a change must pass. Each step counts as a test.

mod tidy;

use std::process::Command;

use crate::build::{self, BARE_TARGET, UEFI_TARGET};
use crate::cli::{CiArgs, TestArgs};
use crate::exit::Exit;
use crate::setup;
use crate::test::{self, tally::Tally};

/// Libraries that both images are made of; they are checked for the boards' targets as well.
const LIBRARIES: [&str; 11] =
    ["addr", "arch", "dma", "handover", "pci", "scenario", "smmu", "tables", "unpack", "wire", "witness"];

/// Runs the command.
pub fn run(args: &CiArgs) -> anyhow::Result<Exit> {
    setup::ensure_all(&args.install)?;
    let mut tally = Tally::default();
    tally.run("fmt", || cargo(&["fmt", "--all", "--check"]));
    tally.run("tidy", tidy::check);
    tally.run("clippy, host", || cargo(&["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"]));
    let mut images = None;
    tally.run("build", || {
        images = Some(build::images().map_err(|error| format!("{error:#}"))?);
        Ok(())
    });
    for (target, package, bin, features) in [
        (UEFI_TARGET, "primary", "uefi", ""),
        (BARE_TARGET, "primary", "raw", ""),
        (UEFI_TARGET, "loader", "loader", ""),
        (UEFI_TARGET, "loader", "loader", "told"),
        (UEFI_TARGET, "left-running", "left-running", ""),
        (BARE_TARGET, "kdump", "kdump", ""),
        (BARE_TARGET, "kdump", "witness", ""),
        (BARE_TARGET, "guest", "guest", ""),
    ] {
        let parts = ["--target", target, "--package", package, "--lib", "--bin", bin];
        // A package without a library has no such part.
        let parts = if ["primary", "kdump"].contains(&package) { &parts[..] } else { &parts[..4] };
        let name = if features.is_empty() { bin.to_owned() } else { format!("{bin} with {features}") };
        let features: Vec<String> =
            features.split_whitespace().map(|it| format!("--features={package}/{it}")).collect();
        tally.run(&format!("clippy, {name}"), || {
            let mut command = build::cargo();
            command.args(["clippy", "--quiet"]).args(parts).args(&features);
            command.args(LIBRARIES.iter().flat_map(|library| ["--package", library]));
            if let Some(images) = &images {
                command.env(build::KDUMP_VARIABLE, &images.kdump).env(build::PRIMARY_VARIABLE, &images.packed);
            }
            finish(command.args(["--", "-D", "warnings"]))
        });
        tally.run(&format!("doc, {name}"), || {
            // Added to the configuration, where an exported RUSTDOCFLAGS would replace it.
            let deny = format!("target.{target}.rustdocflags=[\"-D\", \"warnings\"]");
            let mut command = build::cargo();
            command.args(["doc", "--quiet", "--no-deps", "--config", &deny]).args(parts).args(&features);
            if let Some(images) = &images {
                command.env(build::KDUMP_VARIABLE, &images.kdump).env(build::PRIMARY_VARIABLE, &images.packed);
            }
            finish(&mut command)
        });
    }
    tally.run("doc, host", || {
        cargo(&["doc", "--quiet", "--no-deps", "--config", "build.rustdocflags=[\"-D\", \"warnings\"]"])
    });
    let tests = TestArgs { install: args.install.clone(), ..TestArgs::default() };
    if let Err(error) = test::all(&tests, &mut tally) {
        tally.run("test", || Err(format!("{error:#}")));
    }
    crate::exit::say!("{}", tally.summary());
    Ok(if tally.is_good() { Exit::Pass } else { Exit::Fail })
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    finish(build::cargo().args(arguments))
}

/// Runs a command; what it printed is the reason when it failed.
fn finish(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{}{}", String::from_utf8_lossy(&text), output.status))
}
