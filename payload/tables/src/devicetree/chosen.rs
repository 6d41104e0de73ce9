//! `/chosen`: what the loader passes on (Devicetree Specification v0.4, 3.6; Linux, `arm64/booting`).

use super::Range;
use super::tree::{Node, Tree};
use crate::finding::Sink;
use crate::rule;
use crate::spcr::{Console, UartKind};
use addr::PhysAddr;

const PL011: [&str; 1] = ["arm,pl011"];
const SBSA: [&str; 1] = ["arm,sbsa-uart"];
const UARTS_16550: [&str; 7] =
    ["ns8250", "ns16450", "ns16550", "ns16550a", "ns16750", "snps,dw-apb-uart", "nvidia,tegra20-uart"];

/// Command line.
pub(super) fn bootargs<'a>(tree: &Tree<'a>) -> Option<&'a str> {
    tree.by_path("/chosen")?.text("bootargs")
}

/// The initial RAM disk, where the loader left one.
pub(super) fn initrd(tree: &Tree<'_>, sink: &mut Sink<'_>) -> Option<Range> {
    let chosen = tree.by_path("/chosen")?;
    // One or two cells, as the loader likes.
    let address = |name| {
        let cells = chosen.cells(name).filter(|cells| matches!(cells.len(), 1 | 2));
        cells.and_then(|mut cells| cells.number(cells.len()))
    };
    let (start, end) = (address("linux,initrd-start")?, address("linux,initrd-end")?);
    let Some(bytes) = end.checked_sub(start).filter(|bytes| *bytes > 0) else {
        sink(chosen.finding(&rule::W_DTB_INITRD).found(start).against(end));
        return None;
    };
    Some(Range { base: PhysAddr(start), bytes })
}

/// The UART that `stdout-path` names, by path or alias, with or without options behind a colon.
pub(super) fn console(tree: &Tree<'_>, sink: &mut Sink<'_>) -> Option<Console> {
    let chosen = tree.by_path("/chosen");
    let named = chosen.and_then(|chosen| chosen.text("stdout-path").or_else(|| chosen.text("linux,stdout-path")));
    let Some(named) = named else {
        sink(super::finding(&rule::W_DTB_STDOUT));
        return None;
    };
    let path = named.split(':').next().unwrap_or_default();
    let node = if path.starts_with('/') {
        tree.by_path(path)
    } else {
        let alias = tree.by_path("/aliases").and_then(|aliases| aliases.text(path));
        alias.and_then(|path| tree.by_path(path))
    };
    let Some(node) = node else {
        sink(chosen.map_or(super::finding(&rule::W_DTB_STDOUT), |chosen| chosen.finding(&rule::W_DTB_STDOUT)));
        return None;
    };
    uart(&node, sink)
}

/// A UART with its register width and stride (Linux bindings `serial/pl011.yaml` and `serial/8250.yaml`).
fn uart(node: &Node<'_, '_>, sink: &mut Sink<'_>) -> Option<Console> {
    // Registers of a PL011 take 16 and, on most machines, 32 bits; those of an SBSA UART 32.
    let (kind, bytes) = if node.is_compatible(&SBSA) {
        (UartKind::Sbsa, 4)
    } else if node.is_compatible(&PL011) {
        (UartKind::Pl011, 2)
    } else if node.is_compatible(&UARTS_16550) {
        (UartKind::Ns16550, 1)
    } else {
        sink(node.finding(&rule::W_CONSOLE_TYPE));
        return None;
    };
    let range = node.reg(sink)?;
    let base = range.base.checked_add(node.cell("reg-offset").unwrap_or(0).into());
    let Some(base) = base.filter(|base| base.0 != 0 && !node.has("big-endian")) else {
        sink(node.finding(&rule::E_CONSOLE_ADDRESS).found(range.base.0));
        return None;
    };
    let access_bytes = match node.cell("reg-io-width") {
        None => bytes,
        Some(width @ (1 | 2 | 4)) => width as u8,
        Some(width) => {
            sink(node.finding(&rule::W_CONSOLE_ACCESS).found(width));
            bytes
        }
    };
    let shift = node.cell("reg-shift").unwrap_or(0);
    if kind == UartKind::Ns16550 && shift > 3 {
        sink(node.finding(&rule::W_CONSOLE_STRIDE).found(shift));
        return None;
    }
    let stride = if kind == UartKind::Ns16550 { 1 << shift } else { 0 };
    let gsiv = node.interrupts(sink).first().map(|interrupt| interrupt.gsiv).filter(|gsiv| *gsiv != 0);
    Some(Console { kind, base, access_bytes, stride, gsiv })
}
