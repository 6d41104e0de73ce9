//! From what is written to what holds: every rule that the file's grammar cannot state.

use std::ops::Range;

use addr::Bdf;
use toml::Spanned;

use crate::collect::Mistakes;
use crate::{Board, Endpoint, Hands, Image, Limits, Qemu, QemuSender, RmrWish, Sender, Which, known, raw};

/// Granule of reserved memory ranges (IORT E.e, 3.1.1.5: 64 KiB aligned).
const RMR_GRANULE: u64 = 0x1_0000;
/// An upper bound that only a slip of the keyboard exceeds.
const RMR_MAX: u64 = 0x1000_0000;
/// Longest name of a network interface: Linux' IFNAMSIZ without the final zero (netdevice(7)).
const INTERFACE_BYTES: usize = 15;

/// A mistake and its place in the text.
pub(crate) struct Mistake {
    pub(crate) span: Range<usize>,
    pub(crate) text: String,
}

pub(crate) fn mistake<T, V>(value: &Spanned<V>, text: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { span: value.span(), text: text.into() })
}

pub(crate) fn board(raw: raw::Board) -> Result<Board, Vec<Mistake>> {
    let mut all = Mistakes::default();
    all.keep(name(&raw.name));
    let sources = all.keep(known::sources(&raw));
    let log = all.keep(known::log(&raw));
    let power = all.keep(known::power(raw.power));
    let flash = all.keep(known::flash(raw.flash, power.as_ref().and_then(Option::as_ref)));
    let reach = all.keep(known::reach(raw.reach));
    let baud = reach.iter().flatten().find_map(|reach| reach.baud);
    let serial = all.keep(known::serial(raw.serial, baud));
    let endpoints = all.keep(endpoints(raw.endpoints));
    // Which functions are endpoints is not known where their list has a mistake.
    let hands = endpoints.as_deref().and_then(|known| all.keep(hands(&raw.deny, &raw.allow, known)));
    let rmr = endpoints.as_deref().and_then(|known| all.keep(raw.rmr.map(|rmr| wish(&rmr, known)).transpose()));
    let console = all.keep(raw.console.map(known::console).transpose());
    let crash_region = all.keep(raw.crash_region.map(known::crash_region).transpose());
    let limits = all.keep(limits(&raw.limits));
    let [hold_us, watch_us] = [raw.hold_us, raw.watch_us].map(|us| all.keep(us.map(wait).transpose()));
    if let Some(sender) = &raw.sender
        && raw.qemu.as_ref().is_some_and(|qemu| qemu.sender.is_some())
    {
        let text = "the frames come from here or from `qemu.sender`; leave one of them out";
        all.keep(mistake::<(), _>(&sender.interface, text));
    }
    let sender = all.keep(raw.sender.map(sender).transpose());
    let qemu = all.keep(raw.qemu.map(qemu).transpose());
    let smmus = all.keep(known::smmus(raw.smmus));
    let silence = limits.as_ref().map(|limits| limits.silence_seconds);
    let watchdog = all.keep(raw.watchdog.map(|watchdog| known::watchdog(watchdog, silence)).transpose());
    let errata = all.keep_all(raw.errata.into_iter().map(known::told));
    let quirks = all.keep_all(raw.quirks.into_iter().map(known::told));
    let expectations = all.keep_all(raw.expectations.into_iter().map(known::expectation));
    // Each of these is there, unless its mistake is.
    let made = || {
        Some(Board {
            name: raw.name.into_inner(),
            description: raw.description,
            evidence: raw.evidence,
            allow_risks: raw.allow_risks,
            console: console?,
            crash_region: crash_region?,
            rmr: rmr?,
            limits: limits?,
            endpoints: endpoints?,
            hold_us: hold_us?,
            watch_us: watch_us?,
            hands: hands?,
            sender: sender?,
            qemu: qemu?,
            log: log?,
            firmware: raw.firmware,
            smmus: smmus?,
            watchdog: watchdog?,
            reach: reach?,
            errata: errata?,
            quirks: quirks?,
            expectations: expectations?,
            serial: serial?,
            power: power?,
            flash: flash?,
            sources: sources?,
        })
    };
    let made = made();
    all.or(made)
}

/// Tells whether a board may have this name: a file's stem, after the folder of its vendor.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut parts = text.split('/');
    text.matches('/').count() <= 1 && parts.all(|part| !part.is_empty() && part.chars().all(legal))
}

fn name(raw: &Spanned<String>) -> Result<(), Mistake> {
    match is_name(raw.get_ref()) {
        true => Ok(()),
        false => mistake(raw, "a name has lower-case letters, digits and `-` only, as its file has"),
    }
}

/// Puts what a lab says in the place of what the board's file says.
pub(crate) fn site(raw: raw::Site, mut board: Board) -> Result<Board, Vec<Mistake>> {
    let mut all = Mistakes::default();
    all.keep(name(&raw.name));
    let denied = all.keep(hands(&raw.deny, &[], &board.endpoints));
    let limits = all.keep(raw.limits.as_ref().map(limits).transpose());
    if let (Some(Some(here)), Some(raw), Some(watchdog)) = (limits, &raw.limits, &board.watchdog) {
        all.keep(known::outlasts(watchdog.seconds, here.silence_seconds, &raw.silence_seconds));
    }
    let baud = board.reach.as_ref().and_then(|reach| reach.baud);
    let serial = all.keep(known::serial(raw.serial, baud));
    let power = all.keep(known::power(raw.power));
    board.power = power.flatten().or(board.power);
    let flash = all.keep(known::flash(raw.flash, board.power.as_ref()));
    board.hands.deny.extend(denied.into_iter().flat_map(|hands| hands.deny));
    board.name = raw.name.into_inner();
    board.description = raw.description.unwrap_or(board.description);
    board.allow_risks = raw.allow_risks.unwrap_or(board.allow_risks);
    board.limits = limits.flatten().unwrap_or(board.limits);
    board.serial = serial.flatten().or(board.serial);
    board.flash = flash.flatten().or(board.flash);
    all.or(Some(board))
}

fn bdf(text: &Spanned<String>) -> Result<Bdf, Mistake> {
    match Bdf::parse(text.get_ref()) {
        Some(bdf) => Ok(bdf),
        None => mistake(text, format!("`{}` is no PCI function; write it as `0000:00:02.0`", text.get_ref())),
    }
}

fn endpoints(raw: Vec<raw::Endpoint>) -> Result<Vec<Endpoint>, Mistake> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for raw::Endpoint { bdf: at, driver, virtual_functions } in raw {
        let count = u16::try_from(virtual_functions.len()).unwrap_or(u16::MAX);
        let own = [(&at, driver.clone(), count)];
        // The drivers of virtual functions are named after that of their own.
        let virtuals = virtual_functions.iter().map(|at| (at, format!("{driver}vf"), 0));
        for (at, driver, virtual_functions) in own.into_iter().chain(virtuals) {
            let function = bdf(at)?;
            if endpoints.iter().any(|earlier| earlier.bdf == function) {
                return mistake(at, format!("endpoint {function} is there twice"));
            }
            endpoints.push(Endpoint { bdf: function, driver, virtual_functions });
        }
    }
    Ok(endpoints)
}

/// What is denied cannot be an endpoint. Lists by IDs are for the run to see: which function has them is not known here.
fn hands(deny: &[Spanned<String>], allow: &[Spanned<String>], endpoints: &[Endpoint]) -> Result<Hands, Mistake> {
    let mut hands = Hands::default();
    for (list, texts) in [(&mut hands.deny, deny), (&mut hands.allow, allow)] {
        for text in texts {
            let Some(which) = Which::parse(text.get_ref()) else {
                let wrong = text.get_ref();
                return mistake(
                    text,
                    format!("`{wrong}` is no PCI function; write `0000:00:05.0`, or IDs as `8086:10d3`"),
                );
            };
            list.push(which);
        }
    }
    for text in deny {
        if let Some(endpoint) =
            endpoints.iter().find(|endpoint| Which::parse(text.get_ref()) == Some(Which::At(endpoint.bdf)))
        {
            return mistake(text, format!("{} is an endpoint of the board: either is wrong", endpoint.bdf));
        }
    }
    let are_addresses = hands.allow.iter().all(|which| matches!(which, Which::At(_)));
    if let Some(first) = allow.first().filter(|_| are_addresses)
        && let Some(left_out) = endpoints.iter().find(|endpoint| !hands.allow.contains(&Which::At(endpoint.bdf)))
    {
        return mistake(first, format!("{} is an endpoint of the board, and not in `allow`", left_out.bdf));
    }
    Ok(hands)
}

fn wish(raw: &raw::Rmr, endpoints: &[Endpoint]) -> Result<RmrWish, Mistake> {
    let function = bdf(&raw.bdf)?;
    if !endpoints.iter().any(|endpoint| endpoint.bdf == function) {
        return mistake(&raw.bdf, format!("{function} is none of the board's endpoints"));
    }
    let bytes = *raw.bytes.get_ref();
    if bytes == 0 || !bytes.is_multiple_of(RMR_GRANULE) || bytes > RMR_MAX {
        return mistake(&raw.bytes, format!("{bytes} is not a multiple of {RMR_GRANULE} (64 KiB) up to {RMR_MAX}"));
    }
    Ok(RmrWish { bdf: function, bytes })
}

fn wait(us: Spanned<u32>) -> Result<u32, Mistake> {
    match *us.get_ref() {
        value @ 1..=600_000_000 => Ok(value),
        value => mistake(&us, format!("{value} is not between 1 and 600000000 microseconds")),
    }
}

fn limits(raw: &raw::Limits) -> Result<Limits, Mistake> {
    for value in [&raw.boot_seconds, &raw.silence_seconds] {
        if !(1..=86_400).contains(value.get_ref()) {
            return mistake(value, format!("{} is not between 1 and 86400 seconds", value.get_ref()));
        }
    }
    Ok(Limits { boot_seconds: *raw.boot_seconds.get_ref(), silence_seconds: *raw.silence_seconds.get_ref() })
}

/// That the host has the interface is for the run to see.
fn sender(raw: raw::Sender) -> Result<Sender, Mistake> {
    let name = raw.interface.get_ref();
    let is_legal = |c: char| !c.is_whitespace() && !c.is_control() && !"/:".contains(c);
    if name.is_empty() || name.len() > INTERFACE_BYTES || !name.chars().all(is_legal) || [".", ".."].contains(&&**name)
    {
        let text = format!(
            "`{name}` is no network interface; write its name, such as `eth1`, in 1 to {INTERFACE_BYTES} bytes"
        );
        return mistake(&raw.interface, text);
    }
    Ok(Sender { frames_per_second: rate(&raw.frames_per_second)?, interface: raw.interface.into_inner() })
}

/// The sender wakes at most 1000 times a second and sends what is due in one go.
fn rate(frames_per_second: &Spanned<u32>) -> Result<u32, Mistake> {
    match *frames_per_second.get_ref() {
        value @ 1..=1_000_000 => Ok(value),
        value => mistake(frames_per_second, format!("{value} is not between 1 and 1000000 frames per second")),
    }
}

fn qemu(raw: raw::Qemu) -> Result<Qemu, Mistake> {
    let Some(minimum_version) = version(raw.minimum_version.get_ref()) else {
        return mistake(&raw.minimum_version, "a version is written as `8.1`");
    };
    if !(1..=512).contains(raw.smp.get_ref()) {
        return mistake(&raw.smp, format!("{} CPUs; between 1 and 512 are possible", raw.smp.get_ref()));
    }
    let digits = raw.memory.get_ref().trim_end_matches(['M', 'G']);
    if digits.len() + 1 != raw.memory.get_ref().len() || !digits.parse::<u32>().is_ok_and(|size| size > 0) {
        return mistake(&raw.memory, "a size is written as `512M` or `1G`");
    }
    if raw.image == Image::Uefi && raw.firmware.is_empty() {
        return mistake(&raw.memory, "a UEFI application needs firmware: name at least one image in `firmware`");
    }
    Ok(Qemu {
        image: raw.image,
        program: raw.program,
        minimum_version,
        machine: raw.machine,
        cpu: raw.cpu,
        smp: *raw.smp.get_ref(),
        memory: raw.memory.into_inner(),
        firmware: raw.firmware.into_iter().map(Into::into).collect(),
        devicetree: raw.devicetree,
        globals: raw.globals,
        audiodevs: raw.audiodevs,
        drives: raw.drives.into_iter().map(|drive| check_drive(drive, &raw.devices)).collect::<Result<_, _>>()?,
        sender: raw.sender.map(|sender| qemu_sender(sender, raw.devices.iter().chain(&raw.netdevs))).transpose()?,
        netdevs: raw.netdevs,
        devices: raw.devices,
    })
}

/// A drive that no device has is a slip, as is one that QEMU would give to a device of its own choice.
fn check_drive(raw: Spanned<String>, devices: &[String]) -> Result<String, Mistake> {
    let value = |key: &str| raw.get_ref().split(',').find_map(|property| property.strip_prefix(key));
    let (Some("none"), Some(id)) = (value("if="), value("id=")) else {
        return mistake(&raw, "a drive has `if=none` and an `id=`");
    };
    let wanted = format!("drive={id}");
    if !devices.iter().any(|device| device.split(',').any(|property| property == wanted)) {
        return mistake(&raw, format!("no device has `{wanted}`"));
    }
    Ok(raw.into_inner())
}

fn qemu_sender<'a>(raw: raw::QemuSender, mut users: impl Iterator<Item = &'a String>) -> Result<QemuSender, Mistake> {
    let id = raw.netdev.get_ref();
    let wanted = format!("netdev={id}");
    if !users.any(|device| device.split(',').any(|property| property == wanted)) {
        return mistake(&raw.netdev, format!("no device and no netdev has `{wanted}`"));
    }
    Ok(QemuSender { frames_per_second: rate(&raw.frames_per_second)?, netdev: raw.netdev.into_inner() })
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
