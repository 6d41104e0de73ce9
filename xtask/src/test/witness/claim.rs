//! What `report.json` says, as far as a trace can confirm or refute it.

use std::ops::Range;

use serde_json::Value;

use super::kernel::Kernel;
use super::trace::{PAGE_1, Reg};

/// The step with which a deferred attach begins, after the watch.
const ATTACH: &str = "attach.deferred";

/// What is claimed of one run of one cycle.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// The takeover's register writes: offset and value, as 32-bit words.
    pub writes: Vec<(u64, u32)>,
    /// The kernel that took over, where one was watched.
    pub kernel: Option<Kernel>,
    /// The live streams.
    pub streams: Vec<Stream>,
    /// The planted fault leaves the pages mapped from which devices fetch, so that translations prove no delivery.
    pub has_fetches: bool,
}

/// What is claimed of one stream.
#[derive(Clone, Debug)]
pub struct Stream {
    pub stream_id: u32,
    /// Delivered and mis-steered in each phase.
    pub phases: [(u64, u64); 3],
    /// Ranges in which the address does not change, rightly.
    pub reserved: Vec<Range<u64>>,
    /// Its device was stopped: after the takeover nothing of it reaches the SMMU.
    pub is_silent: bool,
}

impl Claim {
    /// Reads the report of one run. Of several cycles it is the last that counts, where it failed and so was kept whole.
    pub fn from_report(report: &Value) -> Result<Self, String> {
        let run = &report["runs"][0];
        let kernel = Kernel::from_run(run)?;
        let run = run["failed_cycles"].as_array().and_then(|cycles| cycles.last()).unwrap_or(run);
        let log = run["access_log"].as_array().ok_or("the report has no access_log")?;
        let mut writes = Vec::new();
        // What follows the takeover: the trace has it after the next look at the SMMU.
        for access in log.iter().take_while(|access| access["step"] != ATTACH) {
            writes.extend(register_write(access)?);
        }
        let streams = run["streams"].as_array().ok_or("the report has no streams")?;
        let streams = streams.iter().map(|stream| one_stream(stream, &report["platform"]["rmrs"]));
        Ok(Self { writes, kernel, streams: streams.collect::<Result<_, _>>()?, has_fetches: false })
    }
}

fn register_write(access: &Value) -> Result<Vec<(u64, u32)>, String> {
    let kind = access["kind"].as_str().ok_or("an access has no kind")?;
    let bytes = match kind {
        "write32" => 4,
        "write64" => 8,
        _ => return Ok(Vec::new()),
    };
    if access["smmu"] != 0 {
        return Err(format!("SMMU {}: QEMU's trace does not tell one SMMU from another", access["smmu"]));
    }
    let offset = hex(&access["address"])? & !PAGE_1;
    Ok(Reg { offset, value: hex(&access["value"])?, bytes }.words())
}

fn one_stream(stream: &Value, rmrs: &Value) -> Result<Stream, String> {
    let stream_id = stream["stream_id"].as_u64().and_then(|id| u32::try_from(id).ok());
    let stream_id = stream_id.ok_or("a stream has no stream_id")?;
    let phase = |name: &str| -> Result<(u64, u64), String> {
        let count = |key: &str| stream[name][key].as_u64().ok_or(format!("stream {stream_id:#x} has no {name}.{key}"));
        Ok((count("delivered")?, count("mis_steered")?))
    };
    let mut reserved = Vec::new();
    for rmr in rmrs.as_array().into_iter().flatten().filter(|rmr| rmr["stream_id"] == stream_id) {
        let base = hex(&rmr["base"])?;
        let bytes = rmr["bytes"].as_u64().ok_or("a reserved range has no length")?;
        reserved.push(base..base.saturating_add(bytes));
    }
    Ok(Stream {
        stream_id,
        phases: [phase("before")?, phase("blackout")?, phase("after")?],
        reserved,
        is_silent: false,
    })
}

/// A number of the report.
pub fn hex(value: &Value) -> Result<u64, String> {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    text.and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| format!("{value} is no hexadecimal number"))
}
