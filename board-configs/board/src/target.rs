//! Where `flash` brings something, by the words of each way: those of `--to`, and of `to` in a board's file.

use crate::Way;

/// What starts an image at U-Boot's prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UbootCommand {
    /// The UEFI application, by U-Boot's own UEFI. Its load options are `bootargs` (U-Boot, `doc/develop/uefi/uefi.rst`).
    Bootefi,
    /// The raw image, with the devicetree that U-Boot itself runs by; `bootargs` become `/chosen/bootargs` there.
    Booti,
}

/// `bootefi` or `booti`, and an address in hexadecimal digits, or one of U-Boot's variables, behind `@`.
///
/// # Errors
/// What would be right.
pub fn of_uboot(to: &str) -> Result<(UbootCommand, &str), String> {
    let (command, address) = to.split_once('@').unwrap_or((to, "${kernel_addr_r}"));
    let command = match command {
        "bootefi" => UbootCommand::Bootefi,
        "booti" => UbootCommand::Booti,
        _ => {
            return Err("the way uboot takes `bootefi` (the UEFI application) or `booti` (the raw image), and where in memory, as in `booti@0x40400000`".into());
        }
    };
    let digits = address.strip_prefix("0x").unwrap_or(address);
    let is_number = u64::from_str_radix(digits, 16).is_ok();
    if !is_number && !address.starts_with("${") {
        return Err(format!("`{address}` is no address; write it in hexadecimal digits"));
    }
    Ok((command, address))
}

/// Whether HTTP and PXE are served.
///
/// # Errors
/// What would be right.
pub fn of_netboot(to: &str) -> Result<(bool, bool), String> {
    match to {
        "http" => Ok((true, false)),
        "pxe" => Ok((false, true)),
        _ => Err("the way netboot takes `http` or `pxe`; without, it serves both".into()),
    }
}

/// What the way `ssh` needs.
pub const SSH: &str =
    "the way ssh needs --to [USER@]HOST:/FOLDER, where its EFI System Partition is mounted, as in root@lab-7:/boot/efi";

/// `[USER@]HOST` and the folder there, without its first `/`.
///
/// # Errors
/// What would be right.
pub fn of_ssh(to: &str) -> Result<(&str, &str), String> {
    let parts = to.split_once(":/").filter(|(host, folder)| {
        let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "@._-/:[]".contains(c));
        // A host that begins with a hyphen would be an option of ssh.
        !host.is_empty() && !host.starts_with('-') && is_plain(host) && is_plain(folder)
    });
    parts.ok_or_else(|| SSH.into())
}

/// Why a way does not go there. What is at a path, or what a lab's command makes of its word, is not known here.
pub(crate) fn wrong(way: Way, to: &str) -> Option<String> {
    let why = match way {
        Way::Uboot => of_uboot(to).err(),
        Way::Netboot => of_netboot(to).err(),
        Way::Ssh => of_ssh(to).err(),
        Way::Redfish => Some("the way redfish takes none; the BMC is named by `bmc` or [power.redfish]".into()),
        Way::Esp => to.is_empty().then(|| "the way esp takes a folder, a drive, or a file for an image".into()),
        Way::Command => None,
    };
    why.map(|why| format!("to = \"{to}\": {why}"))
}
