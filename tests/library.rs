//! Claims about the library's parts that hold for any weights and shapes.

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

#[path = "library/checkpoints.rs"]
mod checkpoints;
#[path = "library/data.rs"]
mod data;
#[path = "library/dense.rs"]
mod dense;
#[path = "library/device.rs"]
mod device;
#[path = "library/families.rs"]
mod families;
#[path = "library/files.rs"]
mod files;
#[path = "library/formats.rs"]
mod formats;
#[path = "library/frozen.rs"]
mod frozen;
#[path = "library/fuzz.rs"]
mod fuzz;
#[path = "library/gradients.rs"]
mod gradients;
#[path = "library/hostile.rs"]
mod hostile;
#[path = "library/hostile_images.rs"]
mod hostile_images;
#[path = "library/inspect.rs"]
mod inspect;
#[path = "library/layout.rs"]
mod layout;
#[path = "library/lists.rs"]
mod lists;
#[path = "library/loss_scale.rs"]
mod loss_scale;
#[path = "library/maps.rs"]
mod maps;
#[path = "library/memory.rs"]
mod memory;
#[path = "library/methods.rs"]
mod methods;
#[path = "library/model.rs"]
mod model;
#[path = "library/namings.rs"]
mod namings;
#[path = "library/nullspace.rs"]
mod nullspace;
#[path = "library/plan.rs"]
mod plan;
#[path = "library/plant.rs"]
mod plant;
#[path = "library/positions.rs"]
mod positions;
#[path = "library/probe.rs"]
mod probe;
#[path = "library/quantile.rs"]
mod quantile;
#[path = "library/ranks.rs"]
mod ranks;
#[path = "library/recover.rs"]
mod recover;
#[path = "library/refinement.rs"]
mod refinement;
#[path = "library/server.rs"]
mod server;
#[path = "library/sets.rs"]
mod sets;
#[path = "library/shards.rs"]
mod shards;
#[path = "library/stream.rs"]
mod stream;
#[path = "library/training_report.rs"]
mod training_report;
#[path = "library/treatments.rs"]
mod treatments;

/// Normal numbers of a seed. Burn's generator is one for the whole process, so a test that seeds
/// it gets other numbers whenever the tests beside it draw too.
fn normal<const D: usize>(shape: [usize; D], deviation: f32, seed: u64) -> Tensor<D> {
    let normal = Normal::new(0.0, deviation).unwrap();
    let values = normal.sample_iter(ChaCha8Rng::seed_from_u64(seed));
    let values: Vec<f32> = values.take(shape.iter().product()).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}
