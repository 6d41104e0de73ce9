//! The emulator's command line.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use board::Qemu;

use super::bring::{Bringing, Place};

use crate::boards;

/// What one boot of an emulated machine needs.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// The machine.
    pub qemu: &'a Qemu,
    /// The emulator.
    pub program: &'a Path,
    /// UEFI firmware, where the machine has one.
    pub firmware: Option<&'a Path>,
    /// The primary image: without firmware the raw one. `None`: firmware starts what it finds on a drive.
    pub image: Option<&'a Path>,
    /// Option text.
    pub options: &'a str,
    /// A table that replaces the firmware's IORT.
    pub iort: Option<&'a Path>,
    /// UDP ports of loopback: the emulator's and the sender's.
    pub ports: Option<(u16, u16)>,
    /// It resets itself where its payload hangs.
    pub reboots: bool,
    /// Socket of its monitor, where something is to be injected.
    pub monitor: Option<&'a Path>,
    /// A kernel that is brought along; it comes with more memory, and options of its own.
    pub bringing: Option<&'a Bringing>,
    /// Arguments of the user.
    pub more: &'a [String],
}

impl Machine<'_> {
    /// Program and arguments.
    pub fn command(&self) -> Vec<OsString> {
        let qemu = self.qemu;
        let mut words: Vec<OsString> = vec![self.program.into()];
        let mut add = |option: &str, value: &dyn AsRef<OsStr>| {
            words.push(option.into());
            words.push(value.as_ref().into());
        };
        add("-machine", &qemu.machine);
        add("-cpu", &qemu.cpu);
        add("-smp", &qemu.smp.to_string());
        add("-m", self.bringing.map_or(&qemu.memory, |bringing| &bringing.memory));
        if let Some(firmware) = self.firmware {
            add("-bios", &firmware);
        }
        add("-display", &"none");
        add("-monitor", &"none");
        // Ctrl-C belongs to this tool; the emulator's own handling of the terminal stays out of it.
        add("-chardev", &"stdio,id=console,signal=off");
        add("-serial", &"chardev:console");
        if let Some(devicetree) = &qemu.devicetree {
            add("-dtb", &boards::folder().join(devicetree));
        }
        for global in &qemu.globals {
            add("-global", global);
        }
        for audiodev in &qemu.audiodevs {
            add("-audiodev", audiodev);
        }
        if let (Some(sender), Some((emulator, host))) = (&qemu.sender, self.ports) {
            let local = format!("local.type=inet,local.host=127.0.0.1,local.port={emulator}");
            let remote = format!("remote.type=inet,remote.host=127.0.0.1,remote.port={host}");
            add("-netdev", &format!("dgram,id={},{local},{remote}", sender.netdev));
        }
        for netdev in &qemu.netdevs {
            add("-netdev", netdev);
        }
        for drive in &qemu.drives {
            add("-drive", drive);
        }
        for device in &qemu.devices {
            add("-device", device);
        }
        match self.bringing.map(|bringing| &bringing.place) {
            // Not on the PCI bus: the payload's devices stay the ones that the board's file names.
            Some(Place::Volume(folder)) => {
                add("-drive", &format!("if=none,id=guest,format=raw,readonly=on,file=fat:{}", doubled(folder)));
                add("-device", &"virtio-blk-device,drive=guest,bootindex=0");
            }
            Some(Place::Memory(file, at)) => {
                add("-device", &format!("loader,file={},addr={at:#x},force-raw=on", doubled(file)));
            }
            None => {}
        }
        let is_on_volume = self.bringing.is_some_and(|bringing| matches!(bringing.place, Place::Volume(_)));
        if let Some(image) = self.image.filter(|_| !is_on_volume) {
            // To the firmware through fw_cfg: no disk, and none of its countdown.
            add("-kernel", &image);
            add("-append", &self.bringing.map_or(self.options, |bringing| &bringing.options));
            if let Some(iort) = self.iort {
                add("-initrd", &iort);
            }
        }
        if let Some(monitor) = self.monitor {
            add("-qmp", &format!("unix:{},server=on,wait=off", doubled(monitor)));
        }
        words.push("-nodefaults".into());
        if !self.reboots {
            // A machine that resets itself is lost, not started again.
            words.push("-no-reboot".into());
        }
        words.extend(self.more.iter().map(OsString::from));
        words
    }
}

/// Commas end a value; doubled they do not.
fn doubled(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// A command line as a shell takes it.
pub fn quoted(words: &[OsString]) -> String {
    words.iter().map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
