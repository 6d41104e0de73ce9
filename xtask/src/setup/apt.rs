//! apt with lists, state and archives of its own, below one folder: it fetches from the archive that serves this system, and leaves the
//! system as it is. Root is not needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::exit;

/// Seconds for each command: a slow line brings 40 MB in time, one that hangs does not stop everything.
const DEADLINE: &str = "600";

/// One of these.
pub struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Prepares `folder`, with this source file, for packages of this architecture; `None`: the system's.
    pub fn new(folder: &Path, list: &str, architecture: Option<&str>) -> anyhow::Result<Self> {
        let apt = Self { folder: folder.to_owned() };
        let partial = |name: &str| std::fs::create_dir_all(folder.join(name).join("partial"));
        partial("archives")
            .and_then(|()| partial("lists"))
            .and_then(|()| std::fs::write(folder.join("status"), ""))
            .and_then(|()| std::fs::write(folder.join("list.sources"), list))
            .and_then(|()| std::fs::write(folder.join("apt.conf"), apt.configuration(architecture)))
            .with_context(|| format!("cannot write in {}", folder.display()))?;
        Ok(apt)
    }

    /// Where packages come to lie.
    pub fn archives(&self) -> PathBuf {
        self.folder.join("archives")
    }

    /// Runs apt-get.
    pub fn get(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command("apt-get", words);
        // What `download` brings goes where it is started.
        run(command.arg("-qq").current_dir(self.archives())).map(drop)
    }

    /// What apt-cache prints.
    pub fn cache(&self, words: &[&str]) -> anyhow::Result<String> {
        run(&mut self.command("apt-cache", words))
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args([DEADLINE, program, "-c"]).arg(self.folder.join("apt.conf")).args(words);
        command
    }

    /// Read after the system's own, so that its proxies stay.
    fn configuration(&self, architecture: Option<&str>) -> String {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut text = String::new();
        for (key, value) in [
            ("Dir::Etc::SourceList", at("list.sources")),
            ("Dir::Etc::SourceParts", "/dev/null".into()),
            ("Dir::Etc::Preferences", "/dev/null".into()),
            ("Dir::Etc::PreferencesParts", "/dev/null".into()),
            ("Dir::State::Lists", at("lists")),
            ("Dir::State::Status", at("status")),
            ("Dir::State::Extended_States", at("extended")),
            ("Dir::Cache::Archives", at("archives")),
            ("Dir::Cache::PkgCache", String::new()),
            ("Dir::Cache::SrcPkgCache", String::new()),
            ("APT::Install-Recommends", "false".into()),
            ("APT::Sandbox::User", String::new()),
            ("APT::Update::Error-Mode", "any".into()),
            ("Acquire::Retries", "2".into()),
            ("Acquire::Languages", "none".into()),
        ] {
            text.push_str(&format!("{key} \"{value}\";\n"));
        }
        if let Some(architecture) = architecture {
            text.push_str(&format!(
                "APT::Architecture \"{architecture}\";\n#clear APT::Architectures;\nAPT::Architectures {{ \"{architecture}\"; }};\n"
            ));
        }
        text
    }
}

/// Puts the files of a package below a folder.
pub fn unpack(package: &Path, into: &Path) -> anyhow::Result<()> {
    run(Command::new("timeout").args([DEADLINE, "dpkg-deb", "--extract"]).args([package, into])).map(drop)
}

/// The packages in a folder.
pub fn packages(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    Ok(files.flatten().map(|entry| entry.path()).filter(is_package).collect())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C").stdin(Stdio::null());
    let output = command.stderr(Stdio::piped()).output().context("cannot start `timeout`")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words: Vec<_> = command.get_args().skip(1).map(|word| word.to_string_lossy()).collect();
    let text = String::from_utf8_lossy(&output.stderr);
    // apt's first complaint is the cause; 124 is the word of `timeout`.
    let said = text.lines().find(|line| line.starts_with("E:")).or(text.lines().next()).unwrap_or("it said nothing");
    let after = if output.status.code() == Some(124) { format!("no end after {DEADLINE} s") } else { said.to_owned() };
    Err(exit::host_lacks(format!("`{}` failed: {after}", words.join(" "))))
}
