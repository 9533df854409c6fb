//! What adding up gradients over the ranks of an MPI job takes, for students of 5, 22 and 90 million
//! parameters: `mpirun -n 2 target/release/examples/sum_over_ranks`.

use std::time::{Duration, Instant};

use singer::Result;
use singer::train::ranks::MpiJob;

/// Values that a training adds up at a time.
const BUCKET: usize = 6 << 20;
const REPEATS: usize = 7;

fn main() -> Result<()> {
    let Some(job) = MpiJob::join()? else {
        println!("start several: mpirun -n 2 {}", std::env::args().next().unwrap_or_default());
        return Ok(());
    };
    let ranks = job.ranks();
    for millions in [5, 22, 90] {
        let mut values = vec![1e-3_f32; millions * 1_000_000];
        let mut times = Vec::with_capacity(REPEATS);
        for _ in 0..REPEATS {
            // All begin together.
            ranks.any(false)?;
            let since = Instant::now();
            values.chunks_mut(BUCKET).try_for_each(|bucket| ranks.sum(bucket))?;
            times.push(since.elapsed());
        }
        times.sort();
        if ranks.is_first() {
            let [best, median] = [times[0], times[REPEATS / 2]].map(milliseconds);
            let count = ranks.count();
            println!(
                "{count} ranks, {millions} M parameters: median {median:.1} ms, best {best:.1}"
            );
        }
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
