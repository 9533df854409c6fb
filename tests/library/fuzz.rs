//! Mutated inputs of readers: errors are fine, panics and growing memory are not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Inputs in an ordinary run of the tests; `SINGER_FUZZ_SECONDS` sets a time instead, in
/// which memory is watched, so the test then wants to be run alone, and with an allocator that
/// gives back what is free:
/// `MALLOC_MMAP_THRESHOLD_=65536 MALLOC_TRIM_THRESHOLD_=65536 SINGER_FUZZ_SECONDS=600 cargo test
/// --release --test library -- --exact NAME --nocapture`.
const INPUTS: usize = 2000;

/// The most that memory may grow by in a run with a set time, in bytes.
const GROWTH: u64 = 64 << 20;

/// Gives `read` mutations of `seeds`, always the same ones in the same order.
pub(crate) fn fuzz(name: &str, seeds: &[Vec<u8>], mut read: impl FnMut(&[u8])) {
    let seconds = std::env::var("SINGER_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = seconds.map(Duration::from_secs);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let begun = Instant::now();
    let (mut inputs, mut first) = (0, None);
    while time.map_or(inputs < INPUTS, |time| begun.elapsed() < time) {
        let bytes = mutation(seeds, &mut rng);
        if catch_unwind(AssertUnwindSafe(|| read(&bytes))).is_err() {
            let file = std::env::temp_dir().join(format!("{name}-{inputs}.bin"));
            std::fs::write(&file, &bytes).unwrap();
            panic!("{name}: input {inputs} panics; it is in {}", file.display());
        }
        inputs += 1;
        if first.is_none() && inputs == INPUTS {
            first = resident();
        }
    }
    if let (Some(_), Some(first), Some(last)) = (time, first, resident()) {
        println!("{name}: {inputs} inputs, {} MiB, then {} MiB", first >> 20, last >> 20);
        assert!(last < first + GROWTH, "{name}: memory grew from {first} to {last} bytes");
    }
}

/// One of the seeds with some of its bytes changed, moved, doubled or gone.
fn mutation(seeds: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xfe, 0xff, b'/', b'\n'];
    let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..8) {
        let length = bytes.len();
        if length == 0 {
            break;
        }
        let at = rng.random_range(0..length);
        let some = rng.random_range(0..=(length - at).min(64));
        match rng.random_range(0..8) {
            0 | 1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 | 3 => bytes[at] = EDGES[rng.random_range(0..EDGES.len())],
            4 => bytes[at] = rng.random(),
            5 => drop(bytes.drain(at..at + some)),
            6 => {
                let part = bytes[at..at + some].to_vec();
                let to = rng.random_range(0..=length);
                bytes.splice(to..to, part);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Memory of this process in bytes, where the system tells it.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}
