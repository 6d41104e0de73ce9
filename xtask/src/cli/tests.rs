use clap::{CommandFactory, Parser};

use super::Cli;

/// Every command with its name and those before it.
fn commands(command: &clap::Command, before: &str) -> Vec<(String, clap::Command)> {
    let name = format!("{before} {}", command.get_name()).trim().to_owned();
    let below = command.get_subcommands().flat_map(|below| commands(below, &name));
    [(name.clone(), command.clone())].into_iter().chain(below).collect()
}

fn all() -> Vec<(String, clap::Command)> {
    commands(&Cli::command(), "")
}

#[test]
fn every_command_and_every_argument_says_what_it_is() {
    for (name, command) in all() {
        assert!(command.get_about().is_some_and(|about| !about.to_string().is_empty()), "{name}");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 5, "{name} {}: `{help}`", argument.get_id());
            assert!(!help.ends_with('.'), "{name} {}: ends with a point", argument.get_id());
        }
    }
}

/// What the examples of a command show, without remarks and redirections.
fn examples(command: &clap::Command) -> Vec<Vec<String>> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("cargo ")).map(str::to_owned);
    let words = |line: String| line.split(" #").next().unwrap_or_default().split(" >").next().map(str::to_owned);
    lines.filter_map(words).map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn every_command_has_examples_and_the_tool_takes_them() {
    for (name, command) in all() {
        let is_group = name == "cargo xtask";
        assert!(is_group || name.ends_with("boards check") || !examples(&command).is_empty(), "{name}: no example");
        for example in examples(&command).iter().filter(|_| !is_group) {
            let parsed = Cli::try_parse_from(example);
            assert!(
                parsed.is_ok(),
                "{name}: {}: {}",
                example.join(" "),
                parsed.err().map(|error| error.to_string()).unwrap_or_default()
            );
        }
    }
}
