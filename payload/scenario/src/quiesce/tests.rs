use super::*;

const ALL: [Offers; 16] = {
    let mut all = [Offers { flr: false, port: false, port_has_flr: false, containment: false }; 16];
    let mut bits = 0;
    while bits < 16 {
        all[bits] =
            Offers { flr: bits & 1 != 0, port: bits & 2 != 0, port_has_flr: bits & 4 != 0, containment: bits & 8 != 0 };
        bits += 1;
    }
    all
};

#[test]
fn a_function_that_lacks_the_means_is_stopped_by_the_next() {
    let with = |flr, port, port_has_flr, containment| Offers { flr, port, port_has_flr, containment };
    let cases = [
        (Policy::QuiesceFlr, with(true, true, true, true), Means::Flr),
        (Policy::QuiesceFlr, with(false, true, false, true), Means::BusReset),
        (Policy::QuiesceFlr, with(false, true, true, true), Means::BusMaster),
        (Policy::QuiesceFlr, with(false, false, false, false), Means::BusMaster),
        (Policy::QuiesceBusReset, with(true, true, true, true), Means::BusReset),
        (Policy::QuiesceBusReset, with(true, false, false, false), Means::Flr),
        (Policy::QuiesceBusReset, with(false, false, false, false), Means::BusMaster),
        (Policy::QuiesceDpc, with(true, true, true, true), Means::Containment),
        (Policy::QuiesceDpc, with(true, true, true, false), Means::BusReset),
        (Policy::QuiesceDpc, with(true, false, false, false), Means::Flr),
    ];
    for (policy, offers, expected) in cases {
        assert_eq!(means(policy, offers), Some(expected), "{policy} {offers:?}");
    }
}

#[test]
fn a_policy_that_stops_devices_stops_every_one_and_the_others_none() {
    for policy in Policy::ALL {
        let quiesces = crate::policy::behaviour(policy).expectation.quiesces();
        assert_eq!(named(policy).is_some(), quiesces, "{policy}");
        assert!(ALL.iter().all(|offers| means(policy, *offers).is_some() == quiesces), "{policy}");
    }
}

#[test]
fn what_a_function_does_not_offer_is_not_asked_of_it() {
    for policy in Policy::ALL {
        for offers in ALL {
            let has = match means(policy, offers) {
                Some(Means::Flr) => offers.flr,
                Some(Means::BusReset) => offers.port,
                Some(Means::Containment) => offers.containment,
                Some(Means::BusMaster | Means::Driver) | None => true,
                Some(Means::Kernel) => false,
            };
            assert!(has, "{policy} {offers:?}");
        }
    }
}
