//! Training by several processes, or threads, on devices of their own: the ranks.
//!
//! Each rank has the same parameters, decodes and computes its share of every batch, and then
//! has the sums over all shares ([`Ranks::sum`]), in the order of ranks whatever the timing:
//! the ranks' parameters stay the same to the bit.
//!
//! Every exchange begins with a meeting, in which a rank may say that it failed instead. A rank
//! can therefore fail at any place, and the others learn of it wherever they are.

mod batch;
#[cfg(feature = "mpi")]
mod mpi;
mod threads;
mod unreadable;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "mpi")]
pub use mpi::MpiJob;
pub use threads::on_threads;
pub(super) use unreadable::Merged;

use super::checkpoint::first_difference;
use crate::error::{Error, Result};

/// How ranks talk to each other. Every rank calls the same methods in the same order.
pub trait Link: fmt::Debug + Send + Sync {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn count(&self) -> usize;

    /// The name of this rank's machine.
    fn machine(&self) -> String;

    /// The messages of all ranks in their order, one behind the other; all are of one length.
    /// A rank may wait here for long.
    ///
    /// # Errors
    /// [`Error::Link`].
    fn all_gather(&self, own: &[u8]) -> Result<Vec<u8>>;

    /// The sum over the ranks of values of one length, at every rank. Values are added in the
    /// order of ranks.
    ///
    /// # Errors
    /// [`Error::Link`].
    fn sum(&self, values: &mut [f32]) -> Result<()>;

    /// Gives the first rank's bytes to all others, which know their number.
    ///
    /// # Errors
    /// [`Error::Link`].
    fn broadcast(&self, bytes: &mut [u8]) -> Result<()>;
}

/// The ranks that train together; by default this process alone.
#[derive(Debug, Clone, Default)]
pub struct Ranks(Option<Arc<Group>>);

#[derive(Debug)]
struct Group {
    link: Box<dyn Link>,
    /// This rank among those of its machine.
    local: usize,
    /// Ranks that have this rank's CPU cores, itself among them.
    on_these_cores: usize,
}

/// What ranks meet for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Failed,
    Agree,
    Gather,
    Sum,
    Broadcast,
}

impl Ranks {
    /// Those of a link, all of which call this.
    ///
    /// # Errors
    /// [`Error::Link`].
    pub fn new(link: impl Link + 'static) -> Result<Self> {
        let (rank, place) = (link.rank(), [link.machine(), own_cores()]);
        let alone = Group { link: Box::new(link), local: 0, on_these_cores: 1 };
        let ranks = Self(Some(Arc::new(alone)));
        let places = ranks.gather(&serde_json::to_vec(&place).unwrap_or_default())?;
        let places: Vec<[String; 2]> =
            places.iter().map(|text| serde_json::from_slice(text).unwrap_or_default()).collect();
        let local = places[..rank].iter().filter(|[machine, _]| *machine == place[0]).count();
        let on_these_cores = places.iter().filter(|other| **other == place).count();
        let Some(Ok(alone)) = ranks.0.map(Arc::try_unwrap) else { return Ok(Self::default()) };
        Ok(Self(Some(Arc::new(Group { local, on_these_cores, ..alone }))))
    }

    fn link(&self) -> Option<&dyn Link> {
        self.0.as_ref().map(|group| &*group.link)
    }

    /// This rank, from 0.
    pub fn rank(&self) -> usize {
        self.link().map_or(0, Link::rank)
    }

    /// Number of ranks.
    pub fn count(&self) -> usize {
        self.link().map_or(1, Link::count)
    }

    /// Whether this is rank 0, which alone writes files.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there are others.
    pub fn several(&self) -> bool {
        self.count() > 1
    }

    /// This rank among those of its machine, from 0.
    pub fn local_rank(&self) -> usize {
        self.0.as_ref().map_or(0, |group| group.local)
    }

    /// Ranks that have the CPU cores of this one, itself among them.
    pub fn on_these_cores(&self) -> usize {
        self.0.as_ref().map_or(1, |group| group.on_these_cores)
    }

    /// The ranks' numbers for a purpose that all of them must have.
    fn meet(link: &dyn Link, purpose: Purpose, number: u64) -> Result<Vec<u64>> {
        let mut own = [0; 16];
        own[..8].copy_from_slice(&(purpose as u64).to_le_bytes());
        own[8..].copy_from_slice(&number.to_le_bytes());
        let all = link.all_gather(&own)?;
        let word =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let all: Vec<(u64, u64)> =
            all.chunks_exact(16).map(|one| (word(&one[..8]), word(&one[8..]))).collect();
        let failed = all.iter().position(|&(other, _)| other == Purpose::Failed as u64);
        match failed {
            Some(rank) if rank == link.rank() => Ok(Vec::new()),
            Some(rank) => Err(Error::OtherRank { rank }),
            None if all.iter().any(|&(other, _)| other != purpose as u64) => {
                Err(Error::Link("they do not do the same".into()))
            }
            None => Ok(all.into_iter().map(|(_, number)| number).collect()),
        }
    }

    /// The outcome where every rank succeeded. Otherwise the first rank that failed has its
    /// error as [`Error::Rank`], and the others have [`Error::OtherRank`].
    ///
    /// # Errors
    /// Those of `outcome`.
    pub fn agree<T>(&self, outcome: Result<T>) -> Result<T> {
        let Some(link) = self.link() else { return outcome };
        match outcome {
            Ok(value) => Self::meet(link, Purpose::Agree, 0).map(|_| value),
            // The others know.
            Err(
                error @ (Error::Rank { .. }
                | Error::OtherRank { .. }
                | Error::RanksDiffer { .. }
                | Error::RanksDrifted { .. }
                | Error::Link(_)),
            ) => Err(error),
            Err(error) => {
                Self::meet(link, Purpose::Failed, 0)?;
                Err(Error::Rank { rank: link.rank(), error: Box::new(error) })
            }
        }
    }

    /// The first rank on which `flag` is set; none where it is on no one.
    ///
    /// # Errors
    /// [`Error::OtherRank`] and [`Error::Link`].
    pub fn any(&self, flag: bool) -> Result<Option<usize>> {
        let Some(link) = self.link() else { return Ok(flag.then_some(0)) };
        let flags = Self::meet(link, Purpose::Agree, u64::from(flag))?;
        Ok(flags.into_iter().position(|flag| flag != 0))
    }

    /// The messages of all ranks in their order.
    ///
    /// # Errors
    /// [`Error::OtherRank`] and [`Error::Link`].
    pub fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        let Some(link) = self.link() else { return Ok(vec![own.to_vec()]) };
        let lengths = Self::meet(link, Purpose::Gather, own.len() as u64)?;
        let longest = lengths.iter().copied().max().unwrap_or(0) as usize;
        if longest == 0 {
            return Ok(vec![Vec::new(); lengths.len()]);
        }
        let mut padded = own.to_vec();
        padded.resize(longest, 0);
        let all = link.all_gather(&padded)?;
        let each = all.chunks_exact(longest).zip(lengths);
        Ok(each.map(|(message, length)| message[..length as usize].to_vec()).collect())
    }

    /// Adds up values over the ranks, in their order.
    ///
    /// # Errors
    /// [`Error::OtherRank`] and [`Error::Link`].
    pub fn sum(&self, values: &mut [f32]) -> Result<()> {
        let Some(link) = self.link() else { return Ok(()) };
        let lengths = Self::meet(link, Purpose::Sum, values.len() as u64)?;
        if lengths.iter().any(|&length| length != values.len() as u64) {
            return Err(Error::Link("they add up vectors of other lengths".into()));
        }
        if values.is_empty() { Ok(()) } else { link.sum(values) }
    }

    /// What `make` gives on the first rank, at every rank.
    ///
    /// # Errors
    /// Those of `make` on the first rank; [`Error::OtherRank`] and [`Error::Link`].
    pub fn from_first(&self, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let Some(link) = self.link() else { return make() };
        let mut bytes = if self.is_first() { self.pass_on(make())? } else { Vec::new() };
        let lengths = Self::meet(link, Purpose::Broadcast, bytes.len() as u64)?;
        bytes.resize(lengths[0] as usize, 0);
        link.broadcast(&mut bytes)?;
        Ok(bytes)
    }

    /// An error that all ranks found at the same place: the first one has it.
    fn all_failed<T>(&self, error: Error) -> Result<T> {
        Err(if self.is_first() { error } else { Error::OtherRank { rank: 0 } })
    }

    /// An error of `rank` that all ranks found at the same place: the first one has it.
    pub(crate) fn found_by_all(&self, rank: usize, error: Error) -> Error {
        match (self.several(), self.is_first()) {
            (false, _) => error,
            (true, true) => Error::Rank { rank, error: Box::new(error) },
            (true, false) => Error::OtherRank { rank: 0 },
        }
    }

    /// An outcome that, if it failed, the other ranks learn of at their next meeting.
    fn pass_on<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.or_else(|error| self.agree(Err(error)))
    }

    /// Refuses ranks that were started with other settings, a JSON object, than the first.
    ///
    /// # Errors
    /// [`Error::RanksDiffer`]; [`Error::OtherRank`] and [`Error::Link`].
    pub fn check_alike(&self, settings: &str) -> Result<()> {
        let all = self.gather(settings.as_bytes())?;
        let texts: Vec<_> = all.iter().map(|text| String::from_utf8_lossy(text)).collect();
        let say = |name: &str, first: &_, other: &_| format!(" ({name}: {other} and not {first})");
        let differs = texts
            .iter()
            .enumerate()
            .find_map(|(rank, text)| Some((rank, first_difference(&texts[0], text, say)?)));
        match differs {
            Some((rank, difference)) => self.all_failed(Error::RanksDiffer { rank, difference }),
            None => Ok(()),
        }
    }

    /// Shards of each rank, where this one would take `own` and each batch has `images`: as
    /// many as the rank with the fewest, and not more than there are images.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer images than ranks; [`Error::OtherRank`] and [`Error::Link`].
    pub fn shards(&self, own: usize, images: usize) -> Result<usize> {
        let Some(link) = self.link() else { return Ok(own) };
        let count = self.count();
        if images < count {
            let expected = format!("{count} ranks share it: it needs an image for each");
            return Err(Error::setting("batch", images, expected));
        }
        let all = Self::meet(link, Purpose::Agree, own as u64)?;
        let fewest = all.into_iter().min().unwrap_or(1) as usize;
        Ok(fewest.clamp(1, images / count))
    }
}

/// The CPU cores that this process may use, as the system names them; nothing where it does not
/// say.
fn own_cores() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap_or_default().trim().to_owned()
}
