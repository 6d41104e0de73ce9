//! The way `ssh`: a Linux that runs on the board puts the files into its EFI System Partition, has firmware start them once, and
//! reboots. `--to [USER@]HOST:/FOLDER` names the folder where that partition is mounted; ports and keys are ssh's own business.

use std::time::Duration;

use anyhow::Context;
use board::{Board, target};
use indicatif::HumanBytes;
use sha2::{Digest, Sha256};

use super::Piece;
use super::meter::Meter;
use super::payload::{self, BOOT_FILE, BUNDLE_FILE, IORT_FILE, OPTIONS_FILE, Told};
use crate::child;
use crate::cli::FlashArgs;
use crate::exit::{Exit, unexpected, usage};
use crate::run::{self, Progress};

/// Nobody is there to type a password, and a board that is gone is noticed.
const SSH: [&str; 10] = [
    "ssh",
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=5",
    "-o",
    "ServerAliveCountMax=3",
];
/// A step on the board ends within this.
const STEP: Duration = Duration::from_secs(60);
/// So does one file.
const FILE: Duration = Duration::from_secs(300);
/// Our own folder, and the file in it that firmware starts.
const FOLDER: &str = "EFI/inflight";
const IMAGE: &str = "EFI/inflight/inflight.efi";
/// The same as firmware writes it (UEFI 2.11, 10.3.5.4).
const LOADER: &str = r"\EFI\inflight\inflight.efi";
/// Name of our boot entry.
const LABEL: &str = "inflight";

/// The Linux, and where its EFI System Partition is mounted.
#[derive(Debug, PartialEq, Eq)]
struct Linux {
    host: String,
    folder: String,
}

/// Partition that firmware is to start from.
#[derive(Debug, PartialEq, Eq)]
struct Partition {
    disk: String,
    number: u32,
}

/// Runs the command.
pub fn run(args: &FlashArgs, board: &Board, to: Option<&str>) -> anyhow::Result<Exit> {
    let linux = Linux::of(to)?;
    let progress = Progress::new();
    if args.restore {
        run::listen()?;
        linux.restore(&progress)?;
        drop(progress);
        crate::exit::say!("{}:{} is as it was before", linux.host, linux.folder);
        return Ok(Exit::Pass);
    }
    payload::needs_uefi(board)?;
    let told = Told::of(&args.payload, board)?.by(args.image.as_deref())?;
    progress.phase(&format!("look at {}", linux.host));
    let partition = linux.partition()?;
    progress.phase("build both images");
    let mut files = payload::files(&told)?;
    for piece in files.iter_mut().filter(|piece| piece.at == BOOT_FILE) {
        // The system's own loader stays where it is.
        piece.at = IMAGE.into();
    }
    run::listen()?;
    linux.write(&files, &progress)?;
    linux.start_once(&partition, &progress)?;
    drop(progress);
    let bytes = HumanBytes(super::bytes(&files));
    crate::exit::say!("{}:{}: {bytes}, read back as written; it reboots into it", linux.host, linux.folder);
    Ok(Exit::Pass)
}

impl Linux {
    fn of(to: Option<&str>) -> anyhow::Result<Self> {
        let Some(to) = to else { return Err(usage(target::SSH)) };
        let (host, folder) = target::of_ssh(to).map_err(|wrong| usage(format!("--to {to}: {wrong}")))?;
        Ok(Self { host: host.to_owned(), folder: format!("/{folder}") })
    }

    /// Runs a script in the partition's folder, as root. `sync` with names waits for these alone.
    fn run(&self, script: &str) -> anyhow::Result<String> {
        self.feed(script, Vec::new(), &mut |_| Ok(()), STEP)
    }

    /// The same with an input.
    fn feed(
        &self,
        script: &str,
        input: Vec<u8>,
        sent: &mut dyn FnMut(usize) -> anyhow::Result<()>,
        deadline: Duration,
    ) -> anyhow::Result<String> {
        let words = quoted(&format!("set -e; cd {}; {script}", self.folder));
        // What the user's shell there is, does not matter.
        let whole = format!(
            "exec sh -c {}",
            quoted(&format!("if test $(id -u) = 0; then exec sh -c {words}; fi; exec sudo -n sh -c {words}"))
        );
        let command: Vec<&str> = SSH.into_iter().chain([&*self.host, &whole]).collect();
        child::feed(&command, &[], input, sent, deadline).with_context(|| self.host.clone())
    }

    /// The partition that the folder is, and that the tools are there: all before anything is changed.
    fn partition(&self) -> anyhow::Result<Partition> {
        let said = self.run(
            "for tool in efibootmgr findmnt lsblk partx sha256sum; do command -v $tool >/dev/null || { echo no $tool >&2; exit 1; }; done; \
             test -d EFI || { echo \"no EFI System Partition is mounted at $(pwd): it has no folder EFI\" >&2; exit 1; }; \
             part=$(findmnt -n -o SOURCE --target .); lsblk -n -d -o PKNAME \"$part\"; partx -g -o NR \"$part\"",
        )?;
        parse_partition(&said).ok_or_else(|| {
            usage(format!("{}: {} is on no partition of a disk: {}", self.host, self.folder, said.trim()))
        })
    }

    /// Puts the files beside their places, compares, and renames.
    fn write(&self, files: &[Piece], progress: &Progress) -> anyhow::Result<()> {
        progress.phase(&format!("keep what is at {}:{}", self.host, self.folder));
        // Once: a second flash must not take the first one's files for the user's.
        self.run(&format!(
            "mkdir -p {FOLDER}; test -e {FOLDER}/before || {{ rm -rf {FOLDER}/before.new; mkdir {FOLDER}/before.new; \
             for file in {OPTIONS_FILE} {IORT_FILE} {BUNDLE_FILE}; do test ! -e $file || cp $file {FOLDER}/before.new/; done; \
             sync {FOLDER}/before.new; mv {FOLDER}/before.new {FOLDER}/before; }}"
        ))?;
        progress.phase(&format!("write {}:{}", self.host, self.folder));
        let mut meter = Meter::new(progress, "sent and read back", super::bytes(files));
        for piece in files {
            let Some(bytes) = &piece.bytes else { continue };
            let new = format!("{}.new", piece.at);
            // Out of the page cache, so that the medium answers.
            let script =
                format!("cat > {new}; sync {new}; dd if={new} iflag=nocache count=0 2>/dev/null || :; sha256sum {new}");
            let said = self.feed(&script, bytes.clone(), &mut |count| meter.add(count), FILE)?;
            let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            if said.split_whitespace().next() != Some(&*digest) {
                return Err(unexpected(format!("{}: {new} reads back as other bytes than were sent", self.host)));
            }
        }
        meter.end();
        // What firmware starts comes after what it reads.
        let steps: Vec<_> = files
            .iter()
            .rev()
            .map(|Piece { at, bytes }| match bytes {
                Some(_) => format!("mv -f {at}.new {at}"),
                None => format!("rm -f {at}"),
            })
            .collect();
        self.run(&format!("{}; sync . {FOLDER}", steps.join("; "))).map(drop)
    }

    /// Has firmware start the image once, and reboots. Nothing changes in the order of what it starts otherwise.
    fn start_once(&self, partition: &Partition, progress: &Progress) -> anyhow::Result<()> {
        progress.phase("have firmware start it once");
        self.forget(progress)?;
        let Partition { disk, number } = partition;
        let said = self.boot_manager(
            &format!("--create-only --disk {disk} --part {number} --label {LABEL} --loader '{LOADER}'"),
            progress,
        )?;
        let entries = entries(&said);
        let [entry] = &*entries else {
            return Err(unexpected(format!("{}: firmware did not keep the boot entry `{LABEL}`", self.host)));
        };
        let said = self.boot_manager(&format!("--bootnext {entry}"), progress)?;
        let is_next = format!("BootNext: {entry}");
        if !said.lines().any(|line| line.trim() == is_next) {
            return Err(unexpected(format!("{}: firmware did not keep BootNext", self.host)));
        }
        progress.phase(&format!("reboot {}", self.host));
        // Later, so that this connection ends in order.
        self.run("nohup sh -c 'sleep 1; reboot' >/dev/null 2>&1 </dev/null &").map(drop)
    }

    fn restore(&self, progress: &Progress) -> anyhow::Result<()> {
        progress.phase(&format!("look at {}", self.host));
        self.run(&format!("test -d {FOLDER}/before || {{ echo nothing was flashed here by ssh >&2; exit 1; }}"))?;
        self.forget(progress)?;
        progress.phase("put back what was there");
        self.run(&format!(
            "for file in {OPTIONS_FILE} {IORT_FILE} {BUNDLE_FILE}; do rm -f $file.new; \
             if test -e {FOLDER}/before/$file; then cp {FOLDER}/before/$file $file; else rm -f $file; fi; done; \
             sync .; rm -rf {FOLDER}; sync . EFI"
        ))
        .map(drop)
    }

    /// Removes boot entries of ours, and BootNext where it is one of them.
    fn forget(&self, progress: &Progress) -> anyhow::Result<()> {
        let said = self.run("efibootmgr")?;
        for entry in entries(&said) {
            if said.lines().any(|line| line.trim() == format!("BootNext: {entry}")) {
                self.boot_manager("--delete-bootnext", progress)?;
            }
            self.boot_manager(&format!("--bootnum {entry} --delete-bootnum"), progress)?;
        }
        Ok(())
    }

    /// Changes firmware's variables, and says by which command. Returns what they are then, read back by it.
    fn boot_manager(&self, arguments: &str, progress: &Progress) -> anyhow::Result<String> {
        let command = format!("efibootmgr {arguments}");
        progress.line(&format!("{}: {command}", self.host));
        self.run(&command)
    }
}

/// Disk and number, as `lsblk` and `partx` print them.
fn parse_partition(said: &str) -> Option<Partition> {
    let mut words = said.split_whitespace();
    let (disk, number) = (words.next()?, words.next()?.parse().ok()?);
    words.next().is_none().then(|| Partition { disk: format!("/dev/{disk}"), number })
}

/// Numbers of the boot entries that have our name: `Boot0007* inflight`, and from version 18 on its path behind a tab.
fn entries(said: &str) -> Vec<String> {
    let number = |line: &str| {
        let (entry, name) = line.strip_prefix("Boot")?.split_once(' ')?;
        let number = entry.trim_end_matches('*');
        let is_number = number.len() == 4 && number.chars().all(|c| c.is_ascii_hexdigit());
        (is_number && name.split('\t').next()?.trim() == LABEL).then(|| number.to_owned())
    };
    said.lines().filter_map(number).collect()
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_folder() {
        let linux = |host: &str, folder: &str| Linux { host: host.into(), folder: folder.into() };
        assert_eq!(Linux::of(Some("root@lab-7:/boot/efi")).unwrap(), linux("root@lab-7", "/boot/efi"));
        assert_eq!(Linux::of(Some("10.0.0.2:/efi")).unwrap(), linux("10.0.0.2", "/efi"));
        for wrong in ["lab-7", "lab-7:boot", ":/boot/efi", "-oProxyCommand=x:/efi", "a:/efi; reboot", "a:/$(id)"] {
            assert!(Linux::of(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn entries_of_ours_are_found_and_no_others() {
        let said = "BootCurrent: 0001\nBootNext: 0003\nBootOrder: 0001,0000\nBoot0000* debian\tHD(1)/File(x)\n\
                    Boot0003* inflight\tHD(1,GPT)/File(\\EFI\\inflight\\inflight.efi)\nBoot00AF  inflight\n\
                    Boot0004* inflight-old\n";
        assert_eq!(entries(said), ["0003", "00AF"]);
        assert!(entries("EFI variables are not supported on this system.").is_empty());
    }

    #[test]
    fn a_partition_has_a_disk_and_a_number() {
        let wanted = Partition { disk: "/dev/nvme0n1".into(), number: 1 };
        assert_eq!(parse_partition("nvme0n1\n 1\n"), Some(wanted));
        assert!(["", "\n", "sda\n", "sda x", "overlay\n"].iter().all(|said| parse_partition(said).is_none()));
    }
}
