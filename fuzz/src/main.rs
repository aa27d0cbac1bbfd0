//! One program with all fuzz targets: linking each with libFuzzer on its own would take most of the time.
//!
//! `FUZZ_TARGET` names the target; `scripts/fuzz.sh` sets it.

#![no_main]

mod memory;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use longshore::fuzzing::{TARGETS, Target};

use memory::Counted;

#[global_allocator]
static MEMORY: Counted = Counted;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    match TARGETS.iter().find(|(name, _)| *name == wanted) {
        Some((_, target)) => *target,
        None => panic!("FUZZ_TARGET is one of {:?}, not {wanted:?}", TARGETS.map(|(name, _)| name)),
    }
});

fuzz_target!(|bytes: &[u8]| {
    let target = *TARGET;
    let most = memory::peak_of(|| _ = target(bytes));
    assert!(most <= memory::MOST, "{most} bytes of memory for an input of {}", bytes.len());
});
