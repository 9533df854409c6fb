//! A batch over the ranks: counts, terms and gradients of all of them.

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::sync::mpsc::sync_channel;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Shape, Tensor, TensorData, Transaction};

use super::Ranks;
use crate::error::{Error, Result};
use crate::readback::{failed, named_parameters, read};
use crate::train::shards::BatchShare;
use crate::train::{BatchLoss, Checkpoint, OptimizerSettings, ParamOptimizer, Shards, Task};

/// Values that are read from the device and added up at a time, 24 MiB: while the ranks add up
/// one bucket, the next one is on its way from the device.
const BUCKET: usize = 6 << 20;

impl Ranks {
    /// Loss and gradients of a batch, each of whose ranks has a share.
    pub(in crate::train) fn backward<T: Task>(
        &self,
        shards: &Shards,
        task: &T,
        model: &T::Model,
        device: &Device,
        batch: &BatchShare<'_>,
    ) -> Result<(BatchLoss, GradientsParams)> {
        let counts = |own| self.counts(own);
        let (loss, grads) = shards.backward_share(task, model, device, batch, counts)?;
        if !self.several() {
            return Ok((loss, grads));
        }
        Ok((self.loss(loss)?, self.gradients(model, grads)?))
    }

    /// Loss and gradients of a batch that every rank has the images of, `[B, 3, H, W]`: each
    /// computes a share, and all of a batch with fewer images than there are parts.
    pub(crate) fn backward_whole<T: Task>(
        &self,
        shards: &Shards,
        task: &T,
        model: &T::Model,
        device: &Device,
        images: &Tensor<4>,
        step: usize,
    ) -> Result<(BatchLoss, GradientsParams)> {
        let of = images.dims()[0];
        let labels = vec![0; of];
        let parts = self.count() * shards.count();
        if of < parts && self.several() {
            let shards = shards.in_turn(parts)?;
            return Ok(shards.backward(task, model, device, images, &labels, step));
        }
        let (rank, ranks) = (self.rank(), self.count());
        let own = rank * of / ranks..(rank + 1) * of / ranks;
        let images = &images.clone().narrow(0, own.start, own.len());
        let (labels, rank, scale) = (&labels[own], (rank, ranks), 1.0);
        let share = BatchShare { images, labels, of, rank, step, scale };
        self.backward(shards, task, model, device, &share)
    }

    /// The first rank's parameters, at every rank.
    pub(crate) fn start_alike<M: Module>(&self, model: M, device: &Device) -> Result<M> {
        let mut optimizer = ParamOptimizer::new(&OptimizerSettings::default());
        let state = || Checkpoint::capture(&model, &optimizer, 0, "", None).to_bytes();
        let state = self.from_first(state)?;
        match self.is_first() {
            true => Ok(model),
            false => {
                let path = Path::new("the first rank's parameters");
                Checkpoint::from_bytes(state)?.restore(path, model, &mut optimizer, device)
            }
        }
    }

    /// Refuses to go on where the parameters of a rank are not those of the first.
    pub(crate) fn check_parameters<M: Module>(&self, model: &M, step: usize) -> Result<()> {
        if !self.several() {
            return Ok(());
        }
        let mut hash = DefaultHasher::new();
        for (_, data) in named_parameters(model)? {
            hash.write(data.as_bytes());
        }
        let all = self.gather(&hash.finish().to_le_bytes())?;
        match all.iter().position(|hash| *hash != all[0]) {
            Some(rank) => self.all_failed(Error::RanksDrifted { rank, step }),
            None => Ok(()),
        }
    }

    /// The counts of the whole batch from those of this rank's share, `[1]` each.
    fn counts(&self, own: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>> {
        let Some(device) = own.first().filter(|_| self.several()).map(Tensor::device) else {
            return Ok(own);
        };
        let mut counts = read(Tensor::cat(own, 0))?;
        self.sum(&mut counts)?;
        Ok(counts.into_iter().map(|count| Tensor::from_data([count], &device)).collect())
    }

    /// The terms of the whole batch.
    fn loss(&self, own: BatchLoss) -> Result<BatchLoss> {
        let device = own.terms[0].1.device();
        let lengths: Vec<usize> = own.means.iter().map(|(_, means)| means.dims()[0]).collect();
        let tensors = own.terms.iter().chain(&own.means).map(|(_, value)| value.clone());
        let values = read(Tensor::cat(tensors.collect(), 0))?;
        let all = self.gather(bytemuck::cast_slice(&values))?;
        let all: Vec<Vec<f32>> =
            all.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect();
        let terms = own.terms.len();
        let finite = |values: &[f32]| values[..terms].iter().all(|value| value.is_finite());
        let not_finite = all.iter().position(|values| !finite(values));
        let add =
            |sum: Vec<f32>, more: Vec<f32>| sum.iter().zip(more).map(|(a, b)| a + b).collect();
        let sums = all.into_iter().reduce(add).unwrap_or_default();
        let (sums, mut means) = sums.split_at(terms);
        let one = |value: f32| Tensor::from_data([value], &device);
        let names = own.terms.into_iter().map(|(name, _)| name);
        let terms = names.zip(sums).map(|(name, &value)| (name, one(value))).collect();
        let names = own.means.into_iter().map(|(name, _)| name);
        let means = names.zip(lengths).map(|(name, length)| {
            let values;
            (values, means) = means.split_at(length);
            (name, Tensor::from_data(TensorData::new(values.to_vec(), [length]), &device))
        });
        let remembered = own.remembered.map(|rows| self.rows(rows)).transpose()?;
        Ok(BatchLoss { terms, means: means.collect(), remembered, not_finite })
    }

    /// The rows of all ranks in their order, `[B, D]`.
    fn rows(&self, own: Tensor<2>) -> Result<Tensor<2>> {
        let (device, [_, width]) = (own.device(), own.dims());
        let values = self.gather(bytemuck::cast_slice(&read(own)?))?.concat();
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&values);
        let count = values.len() / width.max(1);
        Ok(Tensor::from_data(TensorData::new(values, [count, width]), &device))
    }

    /// The sums of the gradients over the ranks.
    fn gradients<M: Module>(&self, model: &M, own: GradientsParams) -> Result<GradientsParams> {
        let mut flat = Flatten { grads: own, found: Vec::new() };
        model.visit(&mut flat);
        let Flatten { grads: own, found } = flat;
        // A share of a batch may miss parameters that another one has gradients for.
        let has: Vec<u8> = found.iter().map(|(grad, _)| u8::from(grad.is_some())).collect();
        let all = self.gather(&has)?;
        let wanted = |place: usize| all.iter().any(|has| has.get(place) == Some(&1));
        let mut buckets = vec![Vec::new()];
        let mut room = BUCKET;
        for (place, (grad, shape)) in found.into_iter().enumerate().filter(|(at, _)| wanted(*at)) {
            let length = shape.num_elements();
            if length > room && room < BUCKET {
                buckets.push(Vec::new());
                room = BUCKET;
            }
            room = room.saturating_sub(length);
            if let Some(bucket) = buckets.last_mut() {
                bucket.push((place, grad, shape));
            }
        }
        let mut sums: Vec<Option<TensorData>> = vec![None; has.len()];
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(1);
            // MPI stays on this thread; the device is read on another.
            scope.spawn(move || {
                for bucket in buckets {
                    let values = read_bucket(&bucket);
                    let shapes = bucket.into_iter().map(|(place, _, shape)| (place, shape));
                    let shapes: Vec<_> = shapes.collect();
                    if sender.send(values.map(|values| (values, shapes))).is_err() {
                        return;
                    }
                }
            });
            for bucket in receiver {
                let (mut values, shapes) = bucket?;
                self.sum(&mut values)?;
                let mut rest = &values[..];
                for (place, shape) in shapes {
                    let own;
                    (own, rest) = rest.split_at(shape.num_elements());
                    sums[place] = Some(TensorData::new(own.to_vec(), shape));
                }
            }
            Ok::<_, Error>(())
        })?;
        let mut unflatten = Unflatten { sums: sums.into_iter(), grads: own };
        model.visit(&mut unflatten);
        Ok(unflatten.grads)
    }
}

/// The values of some gradients one behind the other; zeros for those that are not there.
fn read_bucket(bucket: &[(usize, Option<Tensor<1>>, Shape)]) -> Result<Vec<f32>> {
    let grads = bucket.iter().filter_map(|(_, grad, _)| grad.clone());
    let read = grads.fold(Transaction::default(), Transaction::register).try_execute();
    let mut read = read.map_err(failed)?.into_iter();
    let mut values =
        Vec::with_capacity(bucket.iter().map(|(.., shape)| shape.num_elements()).sum());
    for (_, grad, shape) in bucket {
        match grad.as_ref().and_then(|_| read.next()) {
            Some(data) => values.extend(data.iter::<f32>()),
            None => values.resize(values.len() + shape.num_elements(), 0.0),
        }
    }
    Ok(values)
}

/// The gradients of parameters, `[N]` each, and their shapes, in the module's order.
struct Flatten {
    grads: GradientsParams,
    found: Vec<(Option<Tensor<1>>, Shape)>,
}

impl ModuleVisitor for Flatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let grad = self.grads.remove::<D>(param.id);
        self.found.push((grad.map(|grad| grad.reshape([-1])), param.lazy_shape()));
    }
}

struct Unflatten<S> {
    sums: S,
    grads: GradientsParams,
}

impl<S: Iterator<Item = Option<TensorData>>> ModuleVisitor for Unflatten<S> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(sum) = self.sums.next().flatten() {
            let device = param.lazy_device().inner();
            self.grads.register(param.id, Tensor::<D>::from_data(sum, &device));
        }
    }
}
