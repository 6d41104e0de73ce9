//! What is read of devicetree blobs, and what is wrong with them:
//! `cargo run --release -p tables --example devicetree -- FILE…`

use std::io::Write;
use std::time::Instant;
use tables::{Devicetree, Platform};

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for name in std::env::args().skip(1) {
        let bytes = std::fs::read(&name)?;
        let mut findings = Vec::new();
        let begin = Instant::now();
        let Ok(tree) = Devicetree::read(&bytes, &mut |finding| findings.push(finding)) else {
            writeln!(out, "{name}: no tree")?;
            for finding in &findings {
                writeln!(out, "  {finding}")?;
            }
            continue;
        };
        let iort = tree.to_iort(&mut |finding| findings.push(finding));
        let platform = Platform::from_devicetree(&tree, &iort, &mut |finding| findings.push(finding));
        let ram: u64 = tree.memory(&mut |finding| findings.push(finding)).iter().map(|range| range.bytes).sum();
        let windows = tree.windows(&mut |finding| findings.push(finding)).len();
        let us = begin.elapsed().as_micros();
        let components = platform.iort.map_or(0, |iort| iort.named_components().count());
        writeln!(
            out,
            "{name}: {} bytes in {us} us: {} SMMUs, {components} devices behind them, {} RMR ranges, {} ECAM regions, \
             {windows} windows, {} CPUs, {} ITSs, {} MiB, PSCI by {:?}, console {}",
            bytes.len(),
            platform.smmus.len(),
            platform.rmrs.len(),
            platform.ecam.len(),
            platform.gic.cpus.len(),
            platform.gic.its.len(),
            ram >> 20,
            platform.psci,
            platform.console.map_or("none".into(), |console| format!("{:?} at {}", console.kind, console.base)),
        )?;
        for finding in &findings {
            let path = tree.path_of(finding).map(|path| format!(" [{path}]")).unwrap_or_default();
            writeln!(out, "  {finding}{path}")?;
        }
    }
    Ok(())
}
