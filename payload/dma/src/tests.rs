use crate::{DRIVERS, by_id};

#[test]
fn every_driver_is_counted_and_stopped_by_its_own_number() {
    for (index, driver) in DRIVERS.iter().enumerate() {
        assert_eq!(by_id(driver.id()).map(|witness| witness.name()), Some(driver.name()));
        assert!(DRIVERS[..index].iter().all(|other| other.id() != driver.id() && other.name() != driver.name()));
        // A window holds a page of data, and two are used in turn.
        assert!(driver.data_page() + 0x1000 <= driver.window_bytes() && driver.window_bytes().is_multiple_of(0x1_0000));
        assert!(driver.round() >= 2 && driver.id() != 0);
    }
}
