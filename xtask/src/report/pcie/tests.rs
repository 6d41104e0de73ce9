use super::*;

fn told(bdf: &str, requester: &str, has: Has, words: &[(Word, u32)]) -> Told {
    let mut state = State::with(has);
    words.iter().for_each(|(word, value)| state.words[*word as usize] = *value);
    Told::new(bdf, requester, state.bytes()).unwrap()
}

#[test]
fn a_function_is_described_with_its_path() {
    let all = [
        told(
            "0000:00:01.0",
            "0000:00:01.0",
            Has::EXPRESS | Has::AER | Has::ACS,
            &[
                (Word::Header, 0x0101_0001),
                (Word::Express, 0x142),
                (Word::Acs, 0x1d_001d),
                (Word::Link, 0x11),
                (Word::SlotCapabilities, 3 << 19),
                (Word::Slot, 1 << 6),
            ],
        ),
        told(
            "0000:01:00.0",
            "0000:01:00.0",
            Has::EXPRESS | Has::POWER | Has::ATS | Has::SR_IOV | Has::CUT,
            &[
                (Word::Express, 2),
                (Word::DeviceCapabilities, 1 << 28),
                (Word::Device, 1 << 19),
                (Word::Device2, 6),
                (Word::Ats, 1 << 31),
                (Word::Vfs, 0x2_0007),
                (Word::Power, 3),
            ],
        ),
        told("0000:02:03.0", "0000:02:00.0", Has::empty(), &[]),
    ];
    let port = describe(&all, "0000:00:01.0").unwrap();
    assert_eq!((&*port.kind, port.isolated, port.link.as_deref()), ("root port", true, Some("x1 2.5 GT/s")));
    assert_eq!((port.slot.as_deref(), port.completion_timeout.as_deref()), (Some("3, in use"), Some("50 us to 50 ms")));
    assert_eq!(port.capabilities, ["PCI Express", "AER", "ACS"]);
    let nic = describe(&all, "0000:01:00.0").unwrap();
    assert_eq!((nic.isolated, nic.alias, nic.cut, nic.flr), (true, None, true, true));
    assert_eq!((nic.ats, nic.pri, nic.virtual_functions), (Some(true), None, Some([2, 7])));
    assert_eq!((nic.power.as_deref(), nic.completion_timeout.as_deref()), (Some("D3"), Some("65 to 210 ms")));
    assert_eq!(nic.device_status.as_deref(), Some("Device Status: Unsupported Request"));
    let hda = describe(&all, "0000:02:03.0").unwrap();
    assert_eq!((&*hda.kind, hda.alias.as_deref()), ("conventional", Some("0000:02:00.0")));
    assert_eq!(hda.open_at.as_deref(), Some("0000:02:03.0: conventional bus"));
    assert!(describe(&all, "0000:03:00.0").is_none());
}

#[test]
fn an_errors_request_is_decoded() {
    let mut state = ErrorState { header: [0x6000_0001, 0x0100_00ff, 0x1, 0x8000_0004], ..ErrorState::default() };
    state.bits[ErrorRegister::Uncorrectable as usize] = 1 << 12;
    let told = errors("0000:01:00.0", 1, state.bytes()).unwrap();
    assert_eq!((&*told.phase, &*told.text), ("blackout", "Uncorrectable: Poisoned TLP Received"));
    assert_eq!(told.request.as_deref(), Some("memory write by 0000:01:00.0 at 0x180000004"));
    assert_eq!(request(0, &[0x0000_0001, 0x0018_000f, 0xf000_0000, 0]), "memory read by 0000:00:03.0 at 0xf0000000");
    assert_eq!(
        request(0, &[0x4a00_0001, 0x0008_0004, 0x0100_0000, 0]),
        "completion with data by 0000:00:01.0 for 0000:01:00.0"
    );
    assert_eq!(request(0, &[0x0400_0001, 0, 0x0500_0000, 0]), "configuration read by 0000:00:00.0 of 0000:05:00.0");
    let mut root = ErrorState { root_sources: 0x0200_0100, ..ErrorState::default() };
    root.bits[ErrorRegister::Root as usize] = 0x25;
    let told = errors("0000:00:01.0", 2, root.bytes()).unwrap();
    assert_eq!((told.sources, told.header), (vec!["0000:01:00.0".to_owned(), "0000:02:00.0".to_owned()], None));
}
