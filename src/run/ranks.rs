//! What the ranks that train together settle before they begin.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::folder::RunFolder;
use super::{DeviceName, Event, TrainConfig};
use crate::device::{Device, adapters};
use crate::error::{Error, Result};
use crate::train::ranks::on_threads;
use crate::train::{Ranks, Shards};

/// Settings that may differ from rank to rank.
const OWN: [&str; 5] = ["/out", "/device", "/data/workers", "/train/threads", "/data/val"];

/// Refuses ranks with other settings than the first.
///
/// # Errors
/// [`Error::RanksDiffer`](crate::Error::RanksDiffer) and those of the link.
pub(super) fn check_alike(ranks: &Ranks, config: &impl Serialize) -> Result<()> {
    let mut settings = json!(config);
    for own in OWN {
        if let Some(value) = settings.pointer_mut(own) {
            *value = Value::Null;
        }
    }
    ranks.check_alike(&settings.to_string())
}

/// The devices that a setting names, with commas between them.
pub(super) fn devices(wanted: &str) -> Vec<String> {
    wanted.split(',').map(|name| name.trim().to_owned()).collect()
}

/// Runs on each of several devices, a rank each. The first one has `report` and gives the outcome.
///
/// # Errors
/// [`Error::Device`] where each process is to have one device, or where the teacher is on one
/// already (`given`); those of `run`.
pub(super) fn on_devices<T>(
    ranks: &Ranks,
    devices: &[String],
    given: bool,
    report: &mut dyn FnMut(Event<'_>),
    run: impl Fn(&Ranks, DeviceName, &mut dyn FnMut(Event<'_>)) -> Result<T> + Sync,
) -> Result<T> {
    let refused = match (ranks.several(), given) {
        (true, _) => Some("each rank of an MPI job has one device"),
        (false, true) => Some("the teacher is open on one device; give the file of its weights"),
        (false, false) => None,
    };
    if let Some(reason) = refused {
        return Err(Error::Device { wanted: devices.join(","), reason: reason.into() });
    }
    let device = |ranks: &Ranks| DeviceName(devices[ranks.rank()].clone());
    let other = |ranks: Ranks| run(&ranks, device(&ranks), &mut |_| {}).map(|_| ());
    on_threads(devices.len(), |ranks| run(&ranks, device(&ranks), report), other)
}

/// The folder that the first rank prepares, with what shares the batch; the others write none.
///
/// # Errors
/// Those of [`RunFolder`].
pub(super) fn folder(
    ranks: &Ranks,
    shards: usize,
    out: Option<&Path>,
    prepare: impl FnOnce() -> Result<RunFolder>,
) -> Result<RunFolder> {
    let mut folder = if ranks.is_first() { prepare()? } else { RunFolder::elsewhere(out)? };
    folder.record("ranks", ranks.count())?;
    folder.record("parts", ranks.count() * shards)?;
    Ok(folder)
}

/// The device of a run. Of several ranks on a machine each has a GPU of its own, as far as there
/// are enough, where any would do.
///
/// # Errors
/// As [`Device::open`].
pub(crate) fn device(ranks: &Ranks, wanted: &str) -> Result<Device> {
    if ranks.several() && matches!(wanted, "auto" | "gpu") {
        let gpus = adapters().iter().filter(|found| found.choice.starts_with("gpu:")).count();
        if gpus > 0 {
            return Device::open(&format!("gpu:{}", ranks.local_rank() % gpus));
        }
    }
    Device::open(wanted)
}

/// Shards of each rank: on the CPU one for each of its threads, which it shares with the ranks
/// on the same cores.
///
/// # Errors
/// As [`Ranks::shards`].
pub(super) fn shards(ranks: &Ranks, train: &TrainConfig, device: &Device) -> Result<usize> {
    let own = match train.threads {
        None => fair_shards(ranks, device),
        Some(_) => train.shards(device),
    };
    ranks.shards(own, train.batch)
}

/// A rank's part of the threads of the cores that it may use.
fn fair_shards(ranks: &Ranks, device: &Device) -> usize {
    (device.shards() / ranks.on_these_cores()).max(1)
}

/// Shards of each rank where batches may have fewer images than there are ranks, of so many
/// threads on the CPU, else of all that it may use.
///
/// # Errors
/// As [`Ranks::shards`] and [`Shards::new`].
pub(crate) fn fit_shards(ranks: &Ranks, threads: Option<usize>, device: &Device) -> Result<Shards> {
    let own = match threads {
        Some(threads) if device.is_cpu() => threads.max(1),
        _ => fair_shards(ranks, device),
    };
    let count = ranks.shards(own, usize::MAX)?;
    // What a rank computes in one piece is not split over the cores of other ranks.
    match ranks.several() && device.is_cpu() {
        true => Shards::on_own_threads(count),
        false => Shards::new(count),
    }
}

/// What the first rank gives, at every rank.
///
/// # Errors
/// Those of the first rank.
pub(super) fn first_result<T: Serialize + DeserializeOwned>(
    ranks: &Ranks,
    own: Option<Result<T>>,
) -> Result<T> {
    if !ranks.several()
        && let Some(own) = own
    {
        return own;
    }
    let mut kept = None;
    let text = ranks.from_first(|| {
        let value = own.ok_or(Error::Missing("result of the first rank"))??;
        let text = serde_json::to_vec(&value).unwrap_or_default();
        kept = Some(value);
        Ok(text)
    })?;
    match kept {
        Some(value) => Ok(value),
        None => serde_json::from_slice(&text).map_err(|error| Error::Link(error.to_string())),
    }
}
