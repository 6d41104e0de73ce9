use super::*;
use crate::capture::fixture::*;
use crate::report::from_log;
use crate::report::model::{Hex, Rmr, Verdict};

fn report() -> Report {
    let mut report = from_log(&log(Some(&request()), &two_runs()));
    report.runs.iter_mut().flat_map(|run| &mut run.streams).for_each(|stream| stream.phases.after.mis_steered = 0);
    let second = Endpoint { bdf: STREAMS[1].into(), stream_id: Some(24), ..report.platform.endpoints[0].clone() };
    let idle = Endpoint {
        bdf: "0001:00:00.0".into(),
        armed: false,
        driver: None,
        smmu: None,
        stream_id: None,
        ..second.clone()
    };
    report.platform.endpoints.extend([second, idle]);
    report.platform.rmrs =
        vec![Rmr { base: Hex(0x8000_0000), bytes: 65_536, smmu: Some(0), stream_id: 24, flags: Hex(0) }];
    report
}

#[test]
fn each_root_complex_has_its_functions_and_wires_to_what_they_reach() {
    let mut records = two_runs();
    let (idr0, idr1, idr3, idr5, iidr, aidr, cr0, gbpa) = (0, 0, 0, 0, 0, 1, 0, 0);
    let (index, base, coherent) = (0, 0x905_0000, true);
    records.insert(1, wire::Record::Smmu { index, base, idr0, idr1, idr3, idr5, iidr, aidr, cr0, gbpa, coherent });
    let mut told = report();
    told.platform.smmus = from_log(&log(Some(&request()), &records)).platform.smmus;
    let picture = of(&told).unwrap();
    let titles: Vec<&str> = picture.complexes.iter().map(|complex| &*complex.title).collect();
    assert_eq!(titles, ["Root complex 0000", "Root complex 0001, 1 idle"]);
    let functions = &picture.complexes[0].functions;
    assert_eq!((&*functions[1].name, &*functions[1].stream, functions[1].is_live), ("00:03.0", "0x18", true));
    let wires: Vec<(f64, bool)> = picture.wires.iter().map(|wire| (wire.from, wire.is_rmr)).collect();
    assert_eq!(wires, [(functions[0].y, false), (functions[1].y, false), (functions[1].y, true)]);
    assert_eq!(picture.rmrs[0].lines, ["RMR 0x80000000", "64 KiB"]);
    let bottom = picture.rmrs.iter().chain(&picture.smmus).map(|place| place.y + place.height);
    assert!(bottom.fold(0.0, f64::max) <= picture.height);
    assert!(picture.culprits.is_empty() && picture.astray.is_empty());
}

#[test]
fn whoever_a_deviation_names_is_to_blame_and_whose_dma_went_astray_is_marked() {
    let mut told = report();
    told.runs[0].checks[0].verdict = Verdict::Fail;
    told.runs[0].checks[0].reason = Some(format!("{}: nothing delivered", STREAMS[0]));
    told.runs[1].streams[1].phases.after.mis_steered = 7;
    let picture = of(&told).unwrap();
    assert_eq!(picture.culprits, [(STREAMS[0].to_owned(), "adopt.smmuen-kept under adopt".to_owned())]);
    assert_eq!(picture.astray, [(STREAMS[1].to_owned(), "7 bytes under reset".to_owned())]);
    let marks: Vec<&str> = picture.complexes[0].functions.iter().map(|function| function.mark).collect();
    assert_eq!(marks, ["culprit", "astray"]);
}

#[test]
fn without_functions_there_is_no_picture() {
    assert_eq!(of(&from_log(b"")), None);
}
