//! The JSON Schema of `report.json`, made from the model's own types. A test compares it with the file that is kept.

use std::path::Path;

use schemars::generate::SchemaSettings;

use super::model::{Report, SCHEMA};

/// The schema for readers: keys that older reports lack are not required.
fn schema() -> String {
    let mut schema = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<Report>();
    schema.insert("title".into(), format!("{SCHEMA}: what `cargo xtask run` leaves as report.json").into());
    let name = schema.pointer_mut("/properties/schema").and_then(|value| value.as_object_mut()).unwrap();
    name.insert("const".into(), SCHEMA.into());
    serde_json::to_string_pretty(&schema).unwrap() + "\n"
}

#[test]
fn the_kept_schema_is_that_of_the_model() {
    let path = Path::new("src/report/report.schema.json");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let made = schema();
    if kept != made {
        // What is right now lies where nothing is kept, to be looked at and taken over.
        let place = crate::workspace::target().join("report.schema.json");
        std::fs::write(&place, &made).unwrap();
        panic!("{} is not what the model says; the new one is {}", path.display(), place.display());
    }
}

#[test]
fn the_contracts_keys_are_required_and_later_ones_are_not() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let required =
        |object: &serde_json::Value| -> Vec<String> { serde_json::from_value(object["required"].clone()).unwrap() };
    let of_report = required(&schema);
    for key in ["schema", "board", "outcome", "platform", "runs"] {
        assert!(of_report.contains(&key.to_owned()), "{key}");
    }
    assert!(!of_report.contains(&"provenance".to_owned()));
    for (name, keys) in [
        ("Run", &["scenario", "cycles", "outcome", "checks", "streams", "samples", "events"][..]),
        ("Check", &["id", "verdict", "expected", "source"]),
        ("Phase", &["delivered", "mis_steered"]),
        ("Timing", &["counter_hz", "crash_to_kdump", "takeover", "hold", "watch", "cycle"]),
    ] {
        let of_type = required(&schema["$defs"][name]);
        assert!(keys.iter().all(|key| of_type.contains(&(*key).to_owned())), "{name}: {of_type:?}");
    }
}
