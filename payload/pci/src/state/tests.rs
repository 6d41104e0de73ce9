extern crate std;
use super::*;
use crate::fake::FakeSpace;
use addr::Bdf;

const NIC: Bdf = Bdf::new(0, 1, 0, 0);

#[test]
fn a_function_tells_what_it_has_and_how_it_is_set() {
    let mut space = FakeSpace::default();
    space.add(NIC, 0x8086, 0x10c9);
    space.express(NIC, 0);
    space.put(NIC, 0x40, 0x0102_5010);
    space.put(NIC, 0x44, 1 << 28);
    space.put(NIC, 0x48, 0x0009_2810);
    space.put(NIC, 0x4c, 0x11);
    space.put(NIC, 0x50, 0x0011_0000);
    space.put(NIC, 0x54, 0x60);
    space.put(NIC, 0x58, 0x0040_0000);
    space.put(NIC, 0x68, 0x0000_0016);
    space.put(NIC, 0x50 + 0xc, 0);
    // Power management at 50h would overlap: at B0h.
    space.put(NIC, 0x40, 0x0102_b010);
    space.put(NIC, 0xb0, 0x0003_0001);
    space.put(NIC, 0xb4, 0x0103);
    for (at, header, register, value) in [
        (0x100_u16, 0x1401_0001_u32, 4, 0),
        (0x140, 0x1601_000d, 4, 0x001d_001f),
        (0x160, 0x1801_000f, 4, 0x8000_0020),
        (0x180, 0x1a01_0013, 4, 0x0100_0001),
        (0x1a0, 0x1c01_001b, 4, 0x0001_1402),
        (0x1c0, 0x0001_0010, 0xc, 0x0008_0008),
    ] {
        space.put(NIC, at, header);
        space.put(NIC, at + register, value);
    }
    space.put(NIC, 0x1d0, 3);
    let mut nic = Function::new(&mut space, NIC).unwrap();
    let state = State::read(&mut nic);
    let all = Has::EXPRESS | Has::POWER | Has::AER | Has::ACS | Has::ATS | Has::PRI | Has::PASID | Has::SR_IOV;
    assert_eq!((state.has(), state.kind(), state.has_flr()), (all, Some(0), true));
    assert_eq!(state.word(Word::Power) & 3, 3);
    assert_eq!(state.word(Word::Device), 0x0009_2810);
    assert_eq!((state.word(Word::LinkCapabilities), state.word(Word::Link)), (0x11, 0x11));
    assert_eq!((state.word(Word::SlotCapabilities), state.word(Word::Slot)), (0x60, 0x40));
    assert_eq!((state.word(Word::Ats), state.word(Word::Pasid)), (0x8000_0020, 0x0001_1402));
    assert_eq!(state.word(Word::Device2), 0x16);
    assert_eq!(state.word(Word::Vfs), 8, "VF Enable is clear: none of the 8 is there");
    space.put(NIC, 0x1c8, 1);
    assert_eq!(State::read(&mut Function::new(&mut space, NIC).unwrap()).word(Word::Vfs), 0x0003_0008);
}

#[test]
fn what_cannot_be_read_to_its_end_is_said_to_be_cut() {
    let mut space = FakeSpace::default();
    space.add(NIC, 0x8086, 0x10c9);
    space.express(NIC, 0);
    space.put(NIC, 0x100, 0x1001_0003);
    let state = State::read(&mut Function::new(&mut space, NIC).unwrap());
    assert_eq!(state.has(), Has::EXPRESS | Has::CUT);
}
