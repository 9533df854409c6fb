//! Ranks of an MPI job.

use std::env;
use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use ferrompi::{Communicator, Mpi, ThreadLevel};

use super::{Link, Ranks};
use crate::error::{Error, Result};

/// Bytes of one broadcast: MPI counts in 31 bits.
const BROADCAST: usize = 256 << 20;

/// How long a rank looks for the others without rest, and how long it rests then: MPI's own
/// waiting takes a whole core, also while the first rank measures for minutes.
const EAGER: Duration = Duration::from_millis(2);
const REST: Duration = Duration::from_micros(200);

/// This process's part in an MPI job. MPI ends with it, so it goes last; it stays on the thread
/// that made it, which is the only one that may use its [`ranks`](Self::ranks).
pub struct MpiJob {
    /// Dropped before MPI ends.
    ranks: Ranks,
    world: Communicator,
    _mpi: Mpi,
}

impl MpiJob {
    /// Joins the job in which a launcher (`mpirun`, `srun`) started this process; none where
    /// there is none.
    ///
    /// # Errors
    /// [`Error::Link`] where MPI does not start.
    pub fn join() -> Result<Option<Self>> {
        // Of Open MPI, of MPICH and its kin, of PMIx.
        let started = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"];
        if started.iter().all(|name| env::var_os(name).is_none()) {
            return Ok(None);
        }
        let mpi = Mpi::init_thread(ThreadLevel::Funneled).map_err(failed)?;
        let world = mpi.world();
        if world.size() < 2 {
            return Ok(Some(Self { ranks: Ranks::default(), world, _mpi: mpi }));
        }
        let ranks = Ranks::new(MpiLink { world: mpi.world() })?;
        Ok(Some(Self { ranks, world, _mpi: mpi }))
    }

    /// The job's ranks.
    pub fn ranks(&self) -> Ranks {
        self.ranks.clone()
    }

    /// Ends all ranks at once.
    pub fn abort(&self) -> ! {
        self.world.abort(1)
    }
}

fn failed(error: impl Display) -> Error {
    Error::Link(error.to_string())
}

struct MpiLink {
    world: Communicator,
}

impl fmt::Debug for MpiLink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MpiLink").field("rank", &self.rank()).finish()
    }
}

impl Link for MpiLink {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn count(&self) -> usize {
        self.world.size() as usize
    }

    fn machine(&self) -> String {
        self.world.processor_name().unwrap_or_default()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<u8>> {
        let mut all = vec![0; own.len() * self.count()];
        ferrompi::scope(|scope| {
            let mut request = self.world.iallgather(scope, own, &mut all)?;
            let since = Instant::now();
            while request.test()?.is_none() {
                if since.elapsed() > EAGER {
                    std::thread::sleep(REST);
                } else {
                    std::thread::yield_now();
                }
            }
            Ok(())
        })
        .map_err(failed)?;
        Ok(all)
    }

    /// Each rank adds up a slice of the vector and gives it to the others: every rank sends and
    /// receives the vector twice, however many there are.
    fn sum(&self, values: &mut [f32]) -> Result<()> {
        let count = self.count();
        let slice = values.len().div_ceil(count);
        let mut own = values.to_vec();
        own.resize(slice * count, 0.0);
        let mut slices = vec![0.0; slice * count];
        self.world.alltoall(&own, &mut slices).map_err(failed)?;
        let (sum, others) = slices.split_at_mut(slice);
        for other in others.chunks_exact(slice) {
            sum.iter_mut().zip(other).for_each(|(sum, value)| *sum += value);
        }
        self.world.allgather(sum, &mut own).map_err(failed)?;
        values.copy_from_slice(&own[..values.len()]);
        Ok(())
    }

    fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
        bytes
            .chunks_mut(BROADCAST)
            .try_for_each(|part| self.world.broadcast(part, 0).map_err(failed))
    }
}
