//! Ways to a board that is no emulated one here: a lab's command, and a Linux that is reached by ssh.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::Session;
use crate::build;

/// All of them.
pub fn all() -> Vec<Case> {
    let mut ssh = Case::new("flash-ssh", ssh);
    ssh.lacks = lacks_sshd;
    vec![Case::new("flash-command", command), ssh]
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

/// Where distributions keep the server.
const SSHD: &str = "/usr/sbin/sshd";

fn lacks_sshd() -> Option<String> {
    if !Path::new(SSHD).exists() {
        return Some(format!("no {SSHD}: Debian's openssh-server has it"));
    }
    let is_root = rustix::process::geteuid().is_root();
    // A server that root starts takes this folder, which the system makes at its start.
    (is_root && !Path::new("/run/sshd").exists()).then(|| "no /run/sshd: the system's sshd never ran".into())
}

/// Firmware's boot entries in a file, as efibootmgr shows and changes them. No board's Linux can be had here.
const EFIBOOTMGR: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> arguments
case "$*" in
--create-only*) printf 'Boot0007* inflight\tHD(1)\n' >> entries;;
--bootnext*) sed -i '/^BootNext/d' entries; echo "BootNext: $2" >> entries;;
--delete-bootnext) sed -i '/^BootNext/d' entries;;
*--delete-bootnum) sed -i "/^Boot$2/d" entries;;
esac
cat entries
"#;

fn ssh(session: &Session<'_>) -> Expected {
    let folder = session.folder.with_extension("linux");
    fresh(&folder)?;
    let (tools, esp) = (folder.join("tools"), folder.join("esp"));
    let text = |error: std::io::Error| error.to_string();
    fs::create_dir_all(esp.join("EFI/debian")).and_then(|()| fs::create_dir(&tools)).map_err(text)?;
    fs::write(esp.join("inflight.txt"), "scenario=reset\n").map_err(text)?;
    let entries = "BootCurrent: 0001\nBootOrder: 0001\nBoot0001* debian\tHD(1)\n";
    fs::write(tools.join("entries"), entries).map_err(text)?;
    program(&tools, "efibootmgr", EFIBOOTMGR)?;
    program(&tools, "findmnt", "#!/bin/sh\necho /dev/nvme0n1p1\n")?;
    program(&tools, "lsblk", "#!/bin/sh\ntest \"$5\" = /dev/nvme0n1p1 && echo nvme0n1\n")?;
    program(&tools, "partx", "#!/bin/sh\ntest \"$4\" = /dev/nvme0n1p1 && echo ' 1'\n")?;
    program(&tools, "reboot", "#!/bin/sh\ntouch \"$(dirname \"$0\")/rebooted\"\n")?;
    // As this user, whoever it is: what takes root is played.
    program(&tools, "sudo", "#!/bin/sh\nshift\nexec \"$@\"\n")?;
    let server = Server::start(&folder, &tools)?;
    let to = format!("board:{}", esp.display());
    let site = board(session, &format!("way = \"ssh\"\nto = \"{to}\""))?;
    let flash = |more: &str| {
        let path = format!("PATH={}:{}", server.client.display(), std::env::var("PATH").unwrap_or_default());
        session.run_by(&[path], &words(&format!("flash --board {} {more}", site.display())))
    };
    for cycles in ["3", "4"] {
        let ended = flash(&format!("--scenario adopt --cycles {cycles}"))?;
        expect::status(&ended, 0)?;
        ensure(ended.stderr.contains("/s"), || format!("no rate in:\n{}", ended.stderr))?;
        ensure(same(&esp.join("EFI/inflight/inflight.efi"), &build::places().file), || "another image".into())?;
        let options = fs::read_to_string(esp.join("inflight.txt")).map_err(text)?;
        ensure(options.contains(&format!("\ncycles={cycles}\n")), || options)?;
    }
    let asked = fs::read_to_string(tools.join("arguments")).map_err(text)?;
    let create = r"--create-only --disk /dev/nvme0n1 --part 1 --label inflight --loader \EFI\inflight\inflight.efi";
    ensure(asked.lines().filter(|line| *line == create).count() == 2, || asked.clone())?;
    ensure(asked.lines().any(|line| line == "--bootnext 0007"), || asked.clone())?;
    let begin = Instant::now();
    while !tools.join("rebooted").exists() {
        ensure(begin.elapsed() < Duration::from_secs(20), || "it was not rebooted".into())?;
        std::thread::sleep(Duration::from_millis(50));
    }

    expect::status(&flash("--restore")?, 0)?;
    let left = fs::read_to_string(tools.join("entries")).map_err(text)?;
    ensure(left == entries, || format!("boot entries afterwards:\n{left}"))?;
    let options = fs::read_to_string(esp.join("inflight.txt")).map_err(text)?;
    ensure(options == "scenario=reset\n" && !esp.join("EFI/inflight").exists(), || "not as before".into())?;
    let ended = flash("--restore")?;
    expect::status(&ended, 2)?;
    ensure(ended.stderr.contains("nothing was flashed here by ssh"), || ended.stderr.clone())?;

    // A medium that keeps other bytes than it was given.
    program(&tools, "sha256sum", "#!/bin/sh\necho 00 \"$1\"\n")?;
    let ended = flash("--scenario adopt")?;
    expect::status(&ended, 1)?;
    ensure(ended.stderr.contains("reads back as other bytes"), || ended.stderr.clone())?;
    ensure(!esp.join("EFI/inflight/inflight.efi").exists(), || "it took its place all the same".into())
}

/// A server for this user on loopback, with keys of its own, and a client that knows it as `board`.
struct Server {
    child: Child,
    /// Folder of a program `ssh`.
    client: PathBuf,
}

impl Server {
    fn start(folder: &Path, tools: &Path) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        for key in ["host", "user"] {
            let path = folder.join(key);
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path);
            ensure(command.status().map_err(text)?.success(), || "ssh-keygen failed".into())?;
        }
        // Free now, and the server's in a moment.
        let free = TcpListener::bind("127.0.0.1:0").map_err(text)?;
        let port = free.local_addr().map_err(text)?.port();
        drop(free);
        let at = folder.display();
        let config = folder.join("sshd_config");
        let lines = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n\
             SetEnv PATH={}:/usr/bin:/bin:/usr/sbin:/sbin\n",
            tools.display()
        );
        fs::write(&config, lines).map_err(text)?;
        let client = folder.join("client");
        fs::create_dir(&client).map_err(text)?;
        let lines = format!(
            "Host board\nHostName 127.0.0.1\nPort {port}\nIdentityFile {at}/user\nIdentitiesOnly yes\n\
             StrictHostKeyChecking accept-new\nUserKnownHostsFile {at}/known\n"
        );
        fs::write(folder.join("ssh_config"), lines).map_err(text)?;
        program(&client, "ssh", &format!("#!/bin/sh\nexec /usr/bin/ssh -F '{at}/ssh_config' \"$@\"\n"))?;
        let log = fs::File::create(folder.join("sshd.log")).map_err(text)?;
        let mut command = Command::new(SSHD);
        let child = command.args(["-D", "-e", "-f"]).arg(&config).stderr(log).spawn().map_err(text)?;
        let server = Self { child, client };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let said = || fs::read_to_string(folder.join("sshd.log")).unwrap_or_default();
            ensure(begin.elapsed() < Duration::from_secs(10), || format!("sshd: {}", said()))?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
