//! Ways to a board that is no emulated one here: a lab's command, and a Linux that is reached by ssh.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::Session;
use crate::build;

/// All of them.
pub fn all() -> Vec<Case> {
    vec![Case::new("flash-command", command)]
}

/// Brings what it is given to a folder, and tells what it was told.
const LAB: &str = "#!/bin/sh -e
echo \"lab: $INFLIGHT_ACTION $INFLIGHT_BOARD $INFLIGHT_TO\"
cd \"$INFLIGHT_TO\"
case $INFLIGHT_ACTION in
flash) cp \"$INFLIGHT_IMAGE\" image; cp \"$INFLIGHT_RAW\" raw; cp \"$INFLIGHT_OPTIONS\" options; cp \"$INFLIGHT_IORT\" iort
    dirname \"$INFLIGHT_OPTIONS\" > folder;;
restore) echo \"image: ${INFLIGHT_IMAGE-unset}\"; rm image raw options iort;;
esac
test ! -e broken || { echo 'no relay' >&2; exit 7; }
";

fn command(session: &Session<'_>) -> Expected {
    let folder = session.folder.with_extension("lab");
    fresh(&folder)?;
    let script = program(&folder, "lab-flash", LAB)?;
    let site = board(
        session,
        &format!("way = \"command\"\nto = \"{}\"\ncommand = [\"{}\"]", folder.display(), script.display()),
    )?;
    let asked = "--scenario adopt --cycles 3 --iort ci/fixtures/qemu-virt/IORT.aml";
    let flash = |more: &str| session.run(&words(&format!("flash --board {} {more}", site.display())));
    let ended = flash(asked)?;
    expect::status(&ended, 0)?;
    ensure(ended.stdout.contains(&format!("lab: flash ways {}", folder.display())), || ended.stdout.clone())?;
    let places = build::places();
    for (name, source) in
        [("image", places.file), ("raw", places.raw), ("iort", "ci/fixtures/qemu-virt/IORT.aml".into())]
    {
        let source = crate::workspace::root().join(source);
        ensure(same(&folder.join(name), &source), || format!("{name} is not {}", source.display()))?;
    }
    let options = fs::read_to_string(folder.join("options")).unwrap_or_default();
    ensure(options.lines().any(|line| line == "cycles=3"), || options.clone())?;
    let lived = fs::read_to_string(folder.join("folder")).unwrap_or_default();
    ensure(!Path::new(lived.trim()).exists() && lived.len() > 1, || format!("{lived} is still there"))?;

    let ended = flash("--restore")?;
    expect::status(&ended, 0)?;
    ensure(ended.stdout.contains("image: unset") && !folder.join("image").exists(), || ended.stdout.clone())?;

    fs::write(folder.join("broken"), "").map_err(|error| error.to_string())?;
    let ended = flash(asked)?;
    expect::status(&ended, 2)?;
    let wanted = format!("error: `{}` failed (exit status: 7)", script.display());
    ensure(ended.stderr.lines().any(|line| line == wanted) && ended.stderr.contains("no relay"), || {
        ended.stderr.clone()
    })
}

/// A lab's file with this `[flash]`.
fn board(session: &Session<'_>, flash: &str) -> Result<PathBuf, String> {
    let path = session.folder.with_extension("board.toml");
    let text = format!("extends = \"qemu-virt\"\nname = \"ways\"\n[flash]\n{flash}\n");
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn fresh(folder: &Path) -> Expected {
    let cleared = if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) };
    cleared.and_then(|()| fs::create_dir_all(folder)).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Writes a script.
fn program(folder: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    let written = fs::write(&path, text).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}
