extern crate std;
use super::*;
use crate::fake::FakeSpace;
use crate::{BusRange, Function, functions};
use std::string::ToString;
use std::vec::Vec;

const PORT: Bdf = Bdf::new(0, 0, 1, 0);
const NIC: Bdf = Bdf::new(0, 1, 0, 0);

fn acs(space: &mut FakeSpace, bdf: Bdf, can: u32, does: u32) {
    space.put(bdf, 0x100, 0x0001_000d);
    space.put(bdf, 0x104, does << 16 | can);
}

fn path(space: &mut FakeSpace, of: Bdf) -> Result<(), std::string::String> {
    let found = functions(space, &[BusRange { segment: 0, first: 0, last: 255 }], 64);
    let all: Vec<_> =
        found.iter().map(|it| (it.bdf, State::read(&mut Function::new(space, it.bdf).unwrap()))).collect();
    isolation(&all, of).map_err(|open| open.to_string())
}

#[test]
fn a_path_is_isolated_where_each_port_on_it_redirects() {
    let mut space = FakeSpace::default();
    space.bridge(PORT, Some(4), 1, 1);
    space.add(NIC, 0x8086, 1);
    space.express(NIC, 0);
    assert_eq!(path(&mut space, NIC).unwrap_err(), "0000:00:01.0: no ACS");
    acs(&mut space, PORT, 0x1f, 0x15);
    assert_eq!(path(&mut space, NIC).unwrap_err(), "0000:00:01.0: ACS off: P2P Completion Redirect");
    acs(&mut space, PORT, 0x1f, 0x1d);
    assert_eq!(path(&mut space, NIC), Ok(()));
    // Its functions may reach each other: each must send requests up. What it cannot do to others it need not.
    space.put(NIC, 0x0c, 0x0080_0000);
    assert_eq!(path(&mut space, NIC).unwrap_err(), "0000:01:00.0: no ACS");
    acs(&mut space, NIC, 0x4, 0x0);
    assert_eq!(path(&mut space, NIC).unwrap_err(), "0000:01:00.0: ACS off: P2P Request Redirect");
    acs(&mut space, NIC, 0x4, 0x4);
    assert_eq!(path(&mut space, NIC), Ok(()));
}

#[test]
fn conventional_buses_are_never_isolated() {
    let bridge = Bdf::new(0, 1, 0, 0);
    let hda = Bdf::new(0, 2, 3, 0);
    let mut space = FakeSpace::default();
    space.bridge(PORT, Some(4), 1, 2);
    acs(&mut space, PORT, 0x1d, 0x1d);
    space.bridge(bridge, Some(7), 2, 2);
    space.add(hda, 0x8086, 0x2668);
    assert_eq!(path(&mut space, hda).unwrap_err(), "0000:02:03.0: conventional bus");
    space.express(hda, 0);
    assert_eq!(path(&mut space, hda).unwrap_err(), "0000:01:00.0: conventional bus");
    assert_eq!(path(&mut space, Bdf::new(0, 9, 0, 0)).unwrap_err(), "0000:09:00.0: no bridge leads there");
}
