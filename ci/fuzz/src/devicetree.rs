//! All that can be read of a devicetree, for the fuzz target and for the tests of hostile blobs.

use addr::Bdf;
use tables::{Devicetree, Finding, Platform, Severity};

/// Reads everything that can be read; findings of the reading, none where it is no tree.
pub(crate) fn read_all(bytes: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut sink = |finding| findings.push(finding);
    let Ok(tree) = Devicetree::read(bytes, &mut sink) else {
        assert!(!findings.is_empty(), "refused without a word");
        return findings;
    };
    let iort = tree.to_iort(&mut sink);
    let platform = Platform::from_devicetree(&tree, &iort, &mut sink);
    let _ = (tree.memory(&mut sink), tree.reserved(&mut sink), tree.windows(&mut sink));
    let _ = (tree.bootargs(), tree.initrd(&mut sink));
    for rid in [0, 0x10, 0xff, 0x7fff, u16::MAX] {
        let _ = platform.resolve(Bdf { segment: 0, rid });
    }
    for finding in findings.iter().take(100) {
        let _ = (finding.to_string(), tree.path_of(finding));
        // The table that is made is well formed, whatever the tree is. Only its ranges are the tree's.
        assert!(finding.table != *b"IORT" || finding.severity() < Severity::Error, "{finding}");
    }
    findings
}
