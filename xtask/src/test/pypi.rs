//! Python environments for the tests, below target/: packages of PyPI in fixed versions, each set in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use crate::{child, workspace};

/// Packages come within this time.
const INSTALL: Duration = Duration::from_secs(180);
/// What was installed, in the environment's folder.
const MARK: &str = "installed";

/// An environment.
pub struct Environment {
    name: &'static str,
    packages: &'static [&'static str],
    lacks: OnceLock<Option<String>>,
}

impl Environment {
    /// One with these packages, as pip takes them: `NAME==VERSION`.
    pub const fn new(name: &'static str, packages: &'static [&'static str]) -> Self {
        Self { name, packages, lacks: OnceLock::new() }
    }

    /// Installs it, once. Says why that cannot be.
    pub fn lacks(&self) -> Option<String> {
        let lacks = || self.install().err().map(|error| format!("no {}: {error:#}", self.name));
        self.lacks.get_or_init(lacks).clone()
    }

    fn install(&self) -> anyhow::Result<()> {
        let (mark, wanted) = (self.folder().join(MARK), self.packages.join("\n"));
        if fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
            return Ok(());
        }
        child::run(&["python3", "-m", "venv", "--clear", &self.folder().display().to_string()], &[], INSTALL)?;
        let pip = self.program("pip");
        let words = [&[&*pip, "install", "--quiet", "--disable-pip-version-check"], self.packages].concat();
        child::run(&words, &[], INSTALL)?;
        Ok(fs::write(mark, wanted)?)
    }

    fn folder(&self) -> PathBuf {
        workspace::target().join("inflight").join(self.name)
    }

    /// The folder of its programs.
    pub fn programs(&self) -> PathBuf {
        self.folder().join("bin")
    }

    /// One of its programs.
    pub fn program(&self, name: &str) -> String {
        self.programs().join(name).display().to_string()
    }
}
