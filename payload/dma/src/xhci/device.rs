//! From a port with something on it to an interrupt endpoint that reports: USB 2.0 chapter 9 by way of xHCI 4.3.

use super::host::Host;
use super::*;

/// What it takes to see a device after the reset: power good, and 100 ms without a bounce (USB 2.0, 7.1.7.3).
const ATTACH_US: u64 = 100_000;
/// A device may need as long after the reset of its port (TRSTRCY).
const RECOVERY_US: u64 = 10_000;
/// A root port's reset takes 50 ms (TDRSTR).
const PORT_RESET: Pace = Pace { every_us: 1_000, deadline_us: 200_000 };

const LOW_SPEED: u32 = 2;
const FULL_SPEED: u32 = 1;
const HIGH_SPEED: u32 = 3;

const CLASS_HID: u8 = 3;
const DEVICE: u8 = 1;
const CONFIGURATION: u8 = 2;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;
/// 4 ms, as short as it goes (HID 1.11, 7.2.4).
const IDLE_RATE: u8 = 1;

/// The interrupt IN endpoint of a HID interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hid {
    pub(super) configuration: u8,
    pub(super) interface: u8,
    /// 1 to 15.
    pub(super) endpoint: u8,
    pub(super) packet_bytes: u16,
    pub(super) interval: u8,
}

/// Sets the first HID device on a root port to work.
pub(super) fn start_any(host: &mut Host<'_>) -> Result<(), DmaError> {
    host.bus.sleep_us(ATTACH_US);
    let mut first = DmaError::Unsupported("no HID device (keyboard, mouse) on a root port");
    let mut is_first = true;
    for port in 1..=host.ports {
        match start(host, port) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if is_first => (first, is_first) = (error, false),
            Err(_) => {}
        }
    }
    Err(first)
}

/// Resets a port that has a device on it; its speed.
fn enable_port(host: &mut Host<'_>, port: u64) -> Result<Option<u32>, DmaError> {
    let at = host.operational.plus(PORTSC + 0x10 * (port - 1));
    let found = host.bus.read32(at);
    if found & PORTSC_CCS == 0 || found == u32::MAX {
        return Ok(None);
    }
    if found & PORTSC_PED == 0 {
        let kept = found & !(PORTSC_CHANGES | PORTSC_ACTS | PORTSC_PED);
        host.bus.write32(at, kept | PORTSC_PP | PORTSC_PR);
        let is_enabled = |status| status & (PORTSC_PR | PORTSC_PED) == PORTSC_PED;
        poll32(host.bus, "xHCI PORTSC.PED", at, PORT_RESET, is_enabled)?;
        host.bus.sleep_us(RECOVERY_US);
    }
    let enabled = host.bus.read32(at);
    host.bus.write32(at, enabled & !(PORTSC_ACTS | PORTSC_PED) | PORTSC_CHANGES);
    Ok(Some(enabled >> 10 & 0xf))
}

/// Sets the device on a port to work; `false` where there is none, or none that is a HID.
fn start(host: &mut Host<'_>, port: u64) -> Result<bool, DmaError> {
    let Some(speed) = enable_port(host, port)? else { return Ok(false) };
    let slot = host.command(ENABLE_SLOT, 0, 0)?;
    let started = start_in_slot(host, port as u32, speed, slot);
    if !matches!(started, Ok(true)) {
        // Its rings are used for the next device.
        host.command(DISABLE_SLOT, slot, 0)?;
    }
    started
}

fn start_in_slot(host: &mut Host<'_>, port: u32, speed: u32, slot: u32) -> Result<bool, DmaError> {
    host.new_control_ring();
    host.clear(DEVICE_CONTEXT_AT, 0x1000);
    let context = host.place(DEVICE_CONTEXT_AT).iova.0;
    host.publish(DCBAA_AT + 8 * u64::from(slot), &[context as u32, (context >> 32) as u32]);
    // What the default control endpoint of each speed takes; at full speed the device says (USB 2.0, 5.5.3).
    let packet_bytes = match speed {
        LOW_SPEED | FULL_SPEED => 8,
        HIGH_SPEED => 64,
        _ => 512,
    };
    let input = host.place(INPUT_CONTEXT_AT).iova.0;
    write_input(host, port, speed, 1, 0b11);
    write_control_endpoint(host, packet_bytes);
    host.command(ADDRESS_DEVICE, slot, input)?;
    if speed == FULL_SPEED {
        host.control(slot, get_descriptor(DEVICE, 8), 8)?;
        let says = u32::from(host.answer()[7]);
        if says != packet_bytes {
            write_input(host, port, speed, 1, 0b10);
            write_control_endpoint(host, says);
            host.command(EVALUATE_CONTEXT, slot, input)?;
        }
    }
    host.control(slot, get_descriptor(CONFIGURATION, 0xff), 0xff)?;
    let Some(hid) = find_hid(&host.answer()) else { return Ok(false) };
    let index = 2 * u32::from(hid.endpoint) + 1;
    write_input(host, port, speed, index, 1 | 1 << index);
    write_interrupt_endpoint(host, index, speed, hid);
    fill_transfer_ring(host);
    host.command(CONFIGURE_ENDPOINT, slot, input)?;
    host.control(slot, [0, 9, hid.configuration, 0, 0, 0, 0, 0], 0)?;
    // Set_Idle, all reports.
    host.control(slot, [0x21, 0x0a, 0, IDLE_RATE, hid.interface, 0, 0, 0], 0)?;
    host.ring(slot, index);
    Ok(true)
}

fn get_descriptor(kind: u8, bytes: u8) -> [u8; 8] {
    [0x80, 6, 0, kind, 0, 0, bytes, 0]
}

/// Finds an interrupt IN endpoint of a HID interface in a configuration descriptor (USB 2.0, 9.6).
pub(super) fn find_hid(bytes: &[u8]) -> Option<Hid> {
    let configuration = *bytes.get(5)?;
    let mut rest = bytes;
    let mut interface = None;
    while let [length, kind, ..] = *rest {
        // A length below its own head never ends.
        if length < 2 {
            return None;
        }
        let (descriptor, next) = rest.split_at_checked(length.into())?;
        rest = next;
        match (kind, descriptor) {
            (INTERFACE, [_, _, number, alternate, _, class, ..]) => {
                interface = (*alternate == 0 && *class == CLASS_HID).then_some(*number);
            }
            (ENDPOINT, [_, _, address, attributes, low, high, interval, ..]) => {
                let packet_bytes = u16::from_le_bytes([*low, *high]) & 0x7ff;
                let is_interrupt_in = address & 0x80 != 0 && address & 0xf != 0 && attributes & 3 == 3;
                let fits = (1..=REPORT_BYTES as u16).contains(&packet_bytes);
                if let Some(interface) = interface.filter(|_| is_interrupt_in && fits) {
                    let endpoint = address & 0xf;
                    return Some(Hid { configuration, interface, endpoint, packet_bytes, interval: *interval });
                }
            }
            _ => {}
        }
    }
    None
}

/// The service interval as an exponent of 125 us (xHCI 6.2.3.6).
pub(super) fn interval_exponent(speed: u32, interval: u8) -> u32 {
    if matches!(speed, LOW_SPEED | FULL_SPEED) {
        (u32::from(interval.max(1)) * 8).ilog2().clamp(3, 10)
    } else {
        u32::from(interval.clamp(1, 16)) - 1
    }
}

/// Input Control Context and Slot Context: contexts up to `last` are valid, those in `add` are looked at.
fn write_input(host: &mut Host<'_>, port: u32, speed: u32, last: u32, add: u32) {
    host.clear(INPUT_CONTEXT_AT, 0x1000);
    host.publish(INPUT_CONTEXT_AT + 4, &[add]);
    host.publish(INPUT_CONTEXT_AT + host.context_bytes, &[last << 27 | speed << 20, port << 16]);
}

/// Endpoint Context (6.2.3): `index` is the Device Context Index.
fn write_endpoint(host: &mut Host<'_>, index: u32, words: [u32; 2], ring_at: u64, average: u32) {
    let at = INPUT_CONTEXT_AT + host.context_bytes * (u64::from(index) + 1);
    let ring = host.place(ring_at).iova.0;
    let [first, second] = words;
    host.publish(at, &[first, second, ring as u32 | 1, (ring >> 32) as u32, average]);
}

fn write_control_endpoint(host: &mut Host<'_>, packet_bytes: u32) {
    // Three errors are forgiven; type 4 is a control endpoint.
    write_endpoint(host, 1, [0, packet_bytes << 16 | 4 << 3 | 3 << 1], CONTROL_AT, 8);
}

fn write_interrupt_endpoint(host: &mut Host<'_>, index: u32, speed: u32, hid: Hid) {
    let packet_bytes = u32::from(hid.packet_bytes);
    let words = [interval_exponent(speed, hid.interval) << 16, packet_bytes << 16 | 7 << 3 | 3 << 1];
    write_endpoint(host, index, words, TRANSFERS_AT, packet_bytes << 16 | packet_bytes);
}

/// One Normal TRB for each report, and the Link TRB that leads back without toggling the cycle bit.
fn fill_transfer_ring(host: &mut Host<'_>) {
    for report in 0..REPORTS {
        let buffer = report_place(&host.stream, report).iova.0;
        let words = [buffer as u32, (buffer >> 32) as u32, REPORT_BYTES as u32, NORMAL | TRB_IOC | TRB_C];
        host.publish(TRANSFERS_AT + report * TRB_BYTES, &words);
    }
    let ring = host.place(TRANSFERS_AT).iova.0;
    host.publish(TRANSFERS_AT + REPORTS * TRB_BYTES, &[ring as u32, (ring >> 32) as u32, 0, LINK | TRB_C]);
}
