use super::*;
use crate::tests::{NIC, with_capabilities};

#[test]
fn a_function_level_reset_is_asked_for_and_what_it_loses_is_written_again() {
    let mut space = with_capabilities();
    space.put(NIC, 0x10, 0x1000_0000);
    space.put(NIC, 0x24, 0x2000_0000);
    let mut nic = Function::new(&mut space, NIC).unwrap();
    nic.enable_for_dma().unwrap();
    nic.set_bus_master(true);
    assert_eq!(nic.has_flr(), Ok(true));
    let saved = nic.save().unwrap();
    // Device Status is the upper half.
    assert!(!nic.has_pending(&saved));
    let control = nic.read32(0xe8);
    nic.write32(0xe8, control | 1 << 21);
    assert!(nic.has_pending(&saved));
    nic.write32(0xe8, control);
    nic.reset(&saved);
    assert_eq!(nic.read16(0xe8) >> 15, 1);
    // What QEMU's functions lose, and more.
    for at in [0x4_u16, 0x10, 0x24, 0xe8] {
        nic.write32(at, 0x0010_0000 * u32::from(at == 4));
    }
    nic.restore(&saved);
    assert_eq!((nic.read32(0x10), nic.read32(0x24)), (0x1000_0000, 0x2000_0000));
    assert_eq!(nic.command(), Command::MEMORY_SPACE | Command::INTERRUPT_DISABLE);
    assert_eq!(u32::from(nic.read16(0xe8)), control & 0x7fff);
}

#[test]
fn a_function_that_another_kernel_had_is_silent_and_where_it_was() {
    // MSI and MSI-X behind the other capabilities.
    let mut space = with_capabilities();
    for (at, word) in [(0x10, 0x1000_0000), (0xe0, 0x0002_a010), (0xa0, 0x0080_b005), (0xb0, 0x0003_0011)] {
        space.put(NIC, at, word);
    }
    let mut nic = Function::new(&mut space, NIC).unwrap();
    let saved = nic.save().unwrap();
    nic.write32(0x10, 0x3000_0000);
    nic.write16(0xa2, 0x81);
    nic.write16(0xb2, 0x8003);
    nic.set_bus_master(true);
    nic.take_back(&saved);
    assert_eq!((nic.read16(0xa2), nic.read16(0xb2)), (0x80, 3));
    assert_eq!((nic.read32(0x10), nic.command()), (0x1000_0000, saved.command));
    assert!(!nic.command().contains(Command::BUS_MASTER));
}

#[test]
fn a_bridge_has_no_function_level_reset() {
    // Bit 28 means nothing there, and bit 15 of its control is another thing (7.5.3.3, 7.5.3.4).
    let mut space = with_capabilities();
    space.put(NIC, 0xc, 0x0001_0000);
    assert_eq!(Function::new(&mut space, NIC).unwrap().has_flr(), Ok(false));
}

#[test]
fn sizes_of_bars_and_ari_forwarding_come_back() {
    let mut space = with_capabilities();
    let capabilities = space.get(NIC, 0xe0);
    space.put(NIC, 0xe0, capabilities & !0x000f_0000 | 0x0002_0000);
    // Resizable BAR with two BARs, in place of what the extended list has.
    space.put(NIC, 0x100, 0x2001_0003);
    space.put(NIC, 0x200, 0x0001_0015);
    space.put(NIC, 0x208, 0x0a << 8 | 2 << 5);
    space.put(NIC, 0x210, 0x0b << 8 | 2 << 5 | 2);
    space.put(NIC, 0xe0 + 0x28, 1 << 5);
    let mut nic = Function::new(&mut space, NIC).unwrap();
    let saved = nic.save().unwrap();
    for at in [0x208, 0x210, 0xe0 + 0x28] {
        nic.write32(at, 0);
    }
    nic.restore(&saved);
    assert_eq!((nic.read32(0x208), nic.read32(0x210)), (0x0a40, 0x0b42));
    assert_eq!(nic.read16(0xe0 + 0x28), 1 << 5);
}
