//! Every kind of store to memory that a kernel may use on a table, and some loads. Most leave no syndrome when they trap
//! (ISV=0): whoever watches the page has to find out by other means what was stored.

use alloc::vec::Vec;
use arch::mmio;
use core::arch::asm;

/// Words that are looked at: a line of DC ZVA is no larger on any CPU that is known.
const WORDS: usize = 64;
/// What is stored. Bit 0 is 0, so that no STE becomes valid.
const A: u64 = 0x1122_3344_5566_7740;
const B: u64 = 0x99AA_BBCC_DDEE_FF80;

type Words = [u64; WORDS];

struct Case {
    name: &'static str,
    has: fn() -> bool,
    /// At this address; x0, x3 and x4 afterwards.
    run: unsafe fn(u64) -> [u64; 3],
    /// What it makes of the words from there on, and of x0 (as a distance), x3 and x4.
    means: fn(&mut Words) -> [u64; 3],
}

fn always() -> bool {
    true
}

macro_rules! field {
    ($register:literal, $bit:literal, $least:literal) => {
        || {
            let value: u64;
            // SAFETY: ID registers are read without effect, and as 0 where the CPU has none.
            unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nomem, nostack)) };
            value >> $bit & 0xF >= $least
        }
    };
}

macro_rules! cases {
    ($(($name:literal, $has:expr, $code:literal, $means:expr),)*) => {
        &[$(Case {
            name: $name,
            has: $has,
            run: |at| {
                let (mut x0, mut x3, mut x4) = (at, 0_u64, 0_u64);
                // SAFETY: the caller's promise: the words from `at` on are nobody's. The soft-float target has no use for v0.
                unsafe {
                    asm!(
                        $code,
                        inout("x0") x0, in("x1") A, in("x2") B, inout("x3") x3, inout("x4") x4, out("x5") _,
                        options(nostack)
                    );
                }
                [x0.wrapping_sub(at), x3, x4]
            },
            means: $means,
        }),*]
    };
}

const CASES: &[Case] = cases! {
    ("str", always, "str x1, [x0]", |m| { m[0] = A; [0, 0, 0] }),
    ("str-w", always, "str w1, [x0, #4]", |m| { m[0] = u64::from(m[0] as u32) | A << 32; [0, 0, 0] }),
    ("strh", always, "strh w1, [x0, #2]", |m| { m[0] = m[0] & !0xFFFF_0000 | (A & 0xFFFF) << 16; [0, 0, 0] }),
    ("strb", always, "strb w1, [x0, #5]", |m| { m[0] = m[0] & !(0xFF << 40) | (A & 0xFF) << 40; [0, 0, 0] }),
    ("str-zero", always, "str xzr, [x0, #8]", |m| { m[1] = 0; [0, 0, 0] }),
    ("str-post", always, "str x1, [x0], #8", |m| { m[0] = A; [8, 0, 0] }),
    ("str-pre", always, "str x1, [x0, #8]!", |m| { m[1] = A; [8, 0, 0] }),
    ("str-indexed", always, "mov x5, #3\n str x1, [x0, x5, lsl #3]", |m| { m[3] = A; [0, 0, 0] }),
    ("strb-indexed", always, "mov x5, #-3\n add x0, x0, #16\n strb w1, [x0, w5, sxtw]", |m| {
        m[1] = m[1] & !(0xFF << 40) | (A & 0xFF) << 40;
        [16, 0, 0]
    }),
    ("str-unaligned", always, "stur w1, [x0, #3]", |m| {
        m[0] = m[0] & !(0xFFFF_FFFF << 24) | (A & 0xFFFF_FFFF) << 24;
        [0, 0, 0]
    }),
    ("str-crossing", always, "stur x1, [x0, #3]", |m| {
        (m[0], m[1]) = (m[0] & 0xFF_FFFF | A << 24, m[1] & !0xFF_FFFF | A >> 40);
        [0, 0, 0]
    }),
    ("stp", always, "stp x1, x2, [x0]", |m| { (m[0], m[1]) = (A, B); [0, 0, 0] }),
    ("stp-w", always, "stp w2, w1, [x0]", |m| { m[0] = u64::from(B as u32) | A << 32; [0, 0, 0] }),
    ("stp-post", always, "stp x1, x2, [x0], #16", |m| { (m[0], m[1]) = (A, B); [16, 0, 0] }),
    ("stp-pre", always, "stp x1, x2, [x0, #16]!", |m| { (m[2], m[3]) = (A, B); [16, 0, 0] }),
    ("stnp", always, "stnp x1, x2, [x0]", |m| { (m[0], m[1]) = (A, B); [0, 0, 0] }),
    ("stlr", always, "stlr x1, [x0]", |m| { m[0] = A; [0, 0, 0] }),
    ("str-q", always, ".inst 0x9e670020\n .inst 0x4e181c40\n .inst 0x3d800000", |m| {
        (m[0], m[1]) = (A, B);
        [0, 0, 0]
    }),
    ("stp-q", always, ".inst 0x9e670020\n .inst 0x4e181c40\n .inst 0xad000000", |m| {
        (m[0], m[1], m[2], m[3]) = (A, B, A, B);
        [0, 0, 0]
    }),
    // FMOV D0, X1; STR D0, [X0, W5, SXTW #3].
    ("str-d-indexed", always, "mov w5, #-2\n add x0, x0, #32\n .inst 0x9e670020\n .inst 0xfc25d800", |m| {
        m[2] = A;
        [32, 0, 0]
    }),
    // FMOV D0, X1; INS V0.D[1], X2; STUR Q0, [X0, #5].
    ("str-q-crossing", always, ".inst 0x9e670020\n .inst 0x4e181c40\n .inst 0x3c805000", |m| {
        m[0] = m[0] & 0xFF_FFFF_FFFF | A << 40;
        m[1] = A >> 24 | B << 40;
        m[2] = m[2] & !0xFF_FFFF_FFFF | B >> 24;
        [0, 0, 0]
    }),
    // STP S0, S0, [X0, #-8]!
    ("stp-s-pre", always, ".inst 0x9e670020\n add x0, x0, #16\n .inst 0x2dbf0000", |m| {
        m[1] = A << 32 | A & 0xFFFF_FFFF;
        [8, 0, 0]
    }),
    ("exclusive-byte", always, "2: ldaxrb w3, [x0]\n eor w3, w3, #0x80\n stlxrb w4, w3, [x0]\n cbnz w4, 2b", |m| {
        m[0] ^= 0x80;
        [0, m[0] & 0xFF, 0]
    }),
    ("exclusive-loop", always, "2: ldxr x3, [x0]\n add x3, x3, #16\n stxr w4, x3, [x0]\n cbnz w4, 2b", |m| {
        m[0] = m[0].wrapping_add(16);
        [0, m[0], 0]
    }),
    ("exclusive-pair", always, "2: ldaxp x3, x4, [x0]\n stlxp w5, x1, x2, [x0]\n cbnz w5, 2b", |m| {
        let old = [0, m[0], m[1]];
        (m[0], m[1]) = (A, B);
        old
    }),
    ("stadd", field!("id_aa64isar0_el1", 20, 2), ".arch_extension lse\n stadd x1, [x0]", |m| {
        m[0] = m[0].wrapping_add(A);
        [0, 0, 0]
    }),
    ("swp", field!("id_aa64isar0_el1", 20, 2), ".arch_extension lse\n swpal x1, x3, [x0]", |m| {
        let old = m[0];
        m[0] = A;
        [0, old, 0]
    }),
    ("cas", field!("id_aa64isar0_el1", 20, 2), ".arch_extension lse\n ldr x3, [x0]\n cas x3, x1, [x0]", |m| {
        let old = m[0];
        m[0] = A;
        [0, old, 0]
    }),
    ("casp", field!("id_aa64isar0_el1", 20, 2), ".arch_extension lse\n mov x4, x1\n mov x5, x2\n ldp x2, x3, [x0]\n \
        caspal x2, x3, x4, x5, [x0]\n mov x4, #0", |m| {
        let old = m[1];
        (m[0], m[1]) = (A, B);
        [0, old, 0]
    }),
    ("ldclrb", field!("id_aa64isar0_el1", 20, 2), ".arch_extension lse\n mov w5, #0x11\n ldclrab w5, w3, [x0]", |m| {
        let old = m[0];
        m[0] &= !0x11;
        [0, old & 0xFF, 0]
    }),
    ("ldsmax", field!("id_aa64isar0_el1", 20, 2), ".arch_extension lse\n ldsmaxl w1, w3, [x0]", |m| {
        let old = m[0];
        m[0] = m[0] & !0xFFFF_FFFF | u64::from((old as i32).max(A as i32) as u32);
        [0, old & 0xFFFF_FFFF, 0]
    }),
    // STLUR X1, [X0, #8]; LDAPUR X3, [X0, #8].
    ("stlur", field!("id_aa64isar1_el1", 20, 2), ".inst 0xd9008001\n .inst 0xd9408003", |m| {
        m[1] = A;
        [0, A, 0]
    }),
    ("dc-zva", always, "dc zva, x0", |m| {
        m[..zeroed()].fill(0);
        [0, 0, 0]
    }),
    // ST1 { V0.2D }}, [X0].
    ("st1", always, ".inst 0x9e670020\n .inst 0x4e181c40\n .inst 0x4c007c00", |m| {
        (m[0], m[1]) = (A, B);
        [0, 0, 0]
    }),
    ("st1d", field!("id_aa64pfr0_el1", 32, 1), ".arch_extension sve\n mov z0.d, x1\n ptrue p0.d, vl2\n st1d {{ z0.d }}, p0, [x0]", |m| {
        (m[0], m[1]) = (A, A);
        [0, 0, 0]
    }),
    ("set", field!("s3_0_c0_c6_2", 16, 1), ".arch_extension mops\n mov x5, #24\n setp [x0]!, x5!, x1\n setm [x0]!, x5!, x1\n \
        sete [x0]!, x5!, x1", |m| {
        m[..3].fill(0x4040_4040_4040_4040);
        [24, 0, 0]
    }),
    ("ldp", always, "ldp x3, x4, [x0]", |m| [0, m[0], m[1]]),
    ("ldr-post", always, "ldr x3, [x0], #8", |m| [8, m[0], 0]),
    ("ldrsw", always, "ldrsw x3, [x0]", |m| [0, m[0] as i32 as u64, 0]),
    ("ldrb", always, "ldrb w3, [x0, #1]", |m| [0, m[0] >> 8 & 0xFF, 0]),
    ("ldar", always, "ldar x3, [x0]", |m| [0, m[0], 0]),
};

/// Words that DC ZVA zeroes: DCZID_EL0.BS is the logarithm of four bytes' worth.
fn zeroed() -> usize {
    let dczid: u64;
    // SAFETY: read without effect.
    unsafe { asm!("mrs {}, dczid_el0", out(reg) dczid, options(nomem, nostack)) };
    ((4_usize << (dczid & 0xF)) / 8).min(WORDS)
}

/// A case that was tried.
pub(crate) struct Tried {
    pub(crate) name: &'static str,
    /// It did what it is for.
    pub(crate) is_right: bool,
    /// What that changes: address, before, after.
    pub(crate) changes: Vec<(u64, u64, u64)>,
}

/// Tries them all at `at`, whose words are as they were afterwards.
///
/// # Safety
/// [`WORDS`] words at `at`, aligned to as many bytes, are memory, and neither Rust's nor in use.
pub(crate) unsafe fn try_all(at: u64) -> Vec<Tried> {
    let place = |index: usize| at + 8 * index as u64;
    // SAFETY: the caller's promise.
    let read = || core::array::from_fn(|index| unsafe { mmio::read64(place(index)) });
    let write = |words: &Words, than: &Words| {
        for index in (0..WORDS).filter(|index| words[*index] != than[*index]) {
            // SAFETY: the caller's promise.
            unsafe { mmio::write64(place(index), words[index]) }
        }
    };
    let found: Words = read();
    // No two are the same, and none is 0 or has its lowest bit.
    let filled: Words = core::array::from_fn(|index| 0x0102_0304_0506_0708_u64.wrapping_mul(2 * index as u64 + 2));
    write(&filled, &found);
    let mut tried = Vec::new();
    for case in CASES.iter().filter(|case| (case.has)()) {
        let mut meant = filled;
        let registers = (case.means)(&mut meant);
        // SAFETY: the caller's promise.
        let is_right = unsafe { (case.run)(at) } == registers;
        let words: Words = read();
        let changed = (0..WORDS).filter(|index| meant[*index] != filled[*index]);
        let changes = changed.map(|index| (place(index), filled[index], meant[index])).collect();
        tried.push(Tried { name: case.name, is_right: is_right && words == meant, changes });
        write(&filled, &words);
    }
    write(&found, &filled);
    tried
}
