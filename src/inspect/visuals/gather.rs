use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use burn::tensor::Tensor;

use super::store::FeatureFile;
use super::{Visual, VisualKind, VisualValues};
use crate::error::{Error, Result};
use crate::inspect::Picture;
use crate::inspect::batches::Batch;
use crate::inspect::feature_source::FeatureSource;
use crate::inspect::pass::Pass;
use crate::maps::{FineFeatures, shifted};
use crate::readback::read;
use crate::refine::Refiner;
use crate::vit::Vit;

/// The most cells of a finer grid: a ViT-S's features take 192 MiB then.
const MOST_CELLS: usize = 1 << 17;

/// Patch features of all images by inspected layer (its place in the list) and by whose they
/// are.
pub(super) type Gathered = BTreeMap<(usize, FeatureSource), FeatureFile>;

/// The models for the grid of a batch.
pub(super) struct Sized {
    pub(super) teacher: Vit,
    pub(super) student: Option<Vit>,
}

impl Sized {
    pub(super) fn new(pass: &Pass<'_>, grid: [usize; 2]) -> Result<Self> {
        let compared = pass.compared;
        let of = |model: &crate::model::Model| model.vit().with_grid(model.config().grid(), grid);
        let student = compared.student.as_ref().map(of).transpose()?;
        Ok(Self { teacher: of(&compared.teacher)?, student })
    }
}

/// Adds the features of a batch, one image and one shifted copy at a time where there are any.
pub(super) fn gather(pass: &Pass<'_>, batch: &Batch<'_>, into: &mut Gathered) -> Result<()> {
    let shifts = pass.settings.shifts;
    let models = Sized::new(pass, batch.grid)?;
    let patch = pass.compared.teacher.config().patch_size;
    let cells = batch.grid[0] * batch.grid[1] * shifts * shifts;
    if shifts > 1 && cells > MOST_CELLS {
        let expected = format!("{cells} cells an image are more than {MOST_CELLS}");
        return Err(Error::setting("shifts", shifts, expected));
    }
    let at_once = if shifts > 1 { 1 } else { batch.pictures.len() };
    for part in batch.pictures.chunks(at_once) {
        let mut fine: BTreeMap<(usize, FeatureSource), (usize, Vec<FineFeatures>)> =
            BTreeMap::new();
        for offset in FineFeatures::offsets(shifts) {
            let pixels = offset.map(|cells| (cells * patch / shifts) as u32);
            let moved: Vec<Picture> = part
                .iter()
                .map(|(_, picture)| Picture {
                    name: picture.name.clone(),
                    image: match pixels {
                        [0, 0] => picture.image.clone(),
                        pixels => shifted(&picture.image, pixels),
                    },
                })
                .collect();
            let pictures = moved.iter().enumerate().collect();
            let copy = Batch { grid: batch.grid, pictures };
            for Tapped { key, tokens, prefix } in features(pass, &models, &copy)? {
                let [images, count, dim] = tokens.dims();
                let values = read(tokens.narrow(1, prefix, count - prefix))?;
                let (_, sums) = fine.entry(key).or_insert_with(|| {
                    (dim, vec![FineFeatures::new(batch.grid, shifts, dim); images])
                });
                for (sum, values) in sums.iter_mut().zip(values.chunks((count - prefix) * dim)) {
                    sum.add(offset, values)?;
                }
            }
        }
        for (key, (dim, sums)) in fine {
            let file = match into.entry(key) {
                Entry::Occupied(file) => file.into_mut(),
                Entry::Vacant(place) => place.insert(FeatureFile::new(dim, pass.images.len())?),
            };
            for (sum, (index, _)) in sums.into_iter().zip(part) {
                let grid = sum.cells();
                file.write(*index, grid, &sum.mean())?;
            }
        }
    }
    Ok(())
}

/// One subject's tokens `[B, T, D]` at an inspected layer.
struct Tapped {
    key: (usize, FeatureSource),
    tokens: Tensor<3>,
    prefix: usize,
}

/// The tokens of every subject at every inspected layer.
fn features(
    pass: &Pass<'_>,
    Sized { teacher, student }: &Sized,
    batch: &Batch<'_>,
) -> Result<Vec<Tapped>> {
    let (compared, settings) = (pass.compared, pass.settings);
    let images = batch.tensor(compared.teacher.preprocess().normalise, pass.device)?;
    let layers = &settings.layers;
    let prefix = teacher.prefix_tokens();
    let mut found = Vec::new();
    let treated = compared.treatments().iter().map(|(source, refiner)| {
        (*source, refiner.intermediate(teacher, images.clone(), layers).into_iter())
    });
    let mut treated: Vec<_> = treated.collect();
    for (at, tokens) in teacher.intermediate(images, layers).into_iter().enumerate() {
        let norms = pass.maps.norms(tokens.clone(), prefix)?;
        let outliers = pass.maps.outliers(norms, settings.quantile)?;
        let own = treated.iter_mut().filter_map(|(source, all)| Some((*source, all.next()?)));
        let refined = pass.refined(at, &tokens, &outliers, own.collect(), prefix)?;
        found.push(Tapped { key: (at, FeatureSource::Teacher), tokens, prefix });
        let tapped = |(source, tokens)| Tapped { key: (at, source), tokens, prefix };
        found.extend(refined.into_iter().map(tapped));
    }
    if let (Some(vit), Some(model)) = (student, &compared.student) {
        let wanted = student_blocks(pass);
        let images = batch.tensor(model.preprocess().normalise, pass.device)?;
        let layers: Vec<usize> = wanted.iter().map(|(_, layer)| *layer).collect();
        let tokens = vit.intermediate(images, &layers);
        let prefix = vit.prefix_tokens();
        let tapped =
            |((at, _), tokens)| Tapped { key: (at, FeatureSource::Student), tokens, prefix };
        found.extend(wanted.into_iter().zip(tokens).map(tapped));
    }
    Ok(found)
}

/// The student's blocks that are compared, each with its layer's place in the list.
fn student_blocks(pass: &Pass<'_>) -> Vec<(usize, usize)> {
    let layers = pass.student_layers.iter().enumerate();
    layers.filter_map(|(at, layer)| Some((at, (*layer)?))).collect()
}

/// What the class token and the marked patch of each image of a batch attend to in the inspected
/// layers' blocks, with the image's index.
pub(super) fn attention(pass: &Pass<'_>, batch: &Batch<'_>) -> Result<Vec<(usize, Visual)>> {
    let Sized { teacher, student } = Sized::new(pass, batch.grid)?;
    let (compared, layers) = (pass.compared, &pass.settings.layers);
    let images = batch.tensor(compared.teacher.preprocess().normalise, pass.device)?;
    let mut found = Vec::new();
    let mut look = |vit: &Vit, source: FeatureSource, at: usize, block: usize, tokens| {
        rows(pass, batch, vit, (source, at, block), tokens).map(|maps| found.extend(maps))
    };
    let raw = |images, layers: &[usize]| teacher.intermediate(images, layers);
    for (at, tokens) in entering(&teacher, &images, layers, raw).into_iter().enumerate() {
        look(&teacher, FeatureSource::Teacher, at, layers[at], tokens)?;
    }
    for (source, refiner) in compared.treatments() {
        // Of others the tokens that enter a block are not those that are shown.
        if let Refiner::ClosedForm(_) = refiner {
            let refined = |images, layers: &[usize]| refiner.intermediate(&teacher, images, layers);
            let tokens = entering(&teacher, &images, layers, refined);
            // What enters the first block is the teacher's own.
            let all = layers.iter().zip(tokens).enumerate().filter(|(_, (block, _))| **block > 0);
            for (at, (&block, tokens)) in all {
                look(&teacher, *source, at, block, tokens)?;
            }
        }
    }
    if let (Some(vit), Some(model)) = (&student, &compared.student) {
        let images = batch.tensor(model.preprocess().normalise, pass.device)?;
        let wanted = student_blocks(pass);
        let blocks: Vec<usize> = wanted.iter().map(|(_, block)| *block).collect();
        let own = |images, layers: &[usize]| vit.intermediate(images, layers);
        for ((at, block), tokens) in wanted.into_iter().zip(entering(vit, &images, &blocks, own)) {
            look(vit, FeatureSource::Student, at, block, tokens)?;
        }
    }
    Ok(found)
}

/// The tokens `[B, T, D]` that enter each of `blocks`, in one pass: `leaving` gives those that
/// leave the blocks before.
fn entering(
    vit: &Vit,
    images: &Tensor<4>,
    blocks: &[usize],
    leaving: impl Fn(Tensor<4>, &[usize]) -> Vec<Tensor<3>>,
) -> Vec<Tensor<3>> {
    let before: Vec<usize> = blocks.iter().filter_map(|block| block.checked_sub(1)).collect();
    let mut left = leaving(images.clone(), &before).into_iter();
    let enters = |&block: &usize| match block {
        0 => Some(vit.embed(images.clone())),
        _ => left.next(),
    };
    blocks.iter().filter_map(enters).collect()
}

/// The maps of the wanted rows of one block's attention, image by image.
fn rows(
    pass: &Pass<'_>,
    batch: &Batch<'_>,
    vit: &Vit,
    (source, at, block): (FeatureSource, usize, usize),
    tokens: Tensor<3>,
) -> Result<Vec<(usize, Visual)>> {
    let prefix = vit.prefix_tokens();
    let mut maps = Vec::new();
    for (place, (index, _)) in batch.pictures.iter().enumerate() {
        let findings = pass.images.iter().find(|(image, _)| image == index);
        let [row, column] = findings.map_or([0, 0], |(_, findings)| findings.marked);
        let mut queries = vec![(prefix + row * batch.grid[1] + column, "the marked patch")];
        if vit.cls_token.is_some() {
            queries.insert(0, (0, "the class token"));
        }
        let chosen: Vec<usize> = queries.iter().map(|(query, _)| *query).collect();
        let own = tokens.clone().narrow(0, place, 1);
        let rows = vit.blocks[block].attention_rows(own, &chosen)?;
        let [_, heads, count, all] = rows.dims();
        let values = read(rows)?;
        for (at_query, (_, of)) in queries.into_iter().enumerate() {
            let of_head = |head: usize| &values[(head * count + at_query) * all..][..all];
            let mean: Vec<f32> = (0..all)
                .map(|token| (0..heads).map(|head| of_head(head)[token]).sum::<f32>())
                .map(|sum| sum / heads as f32)
                .collect();
            let parts = std::iter::once(("mean".to_owned(), &mean[..]))
                .chain((0..heads).map(|head| (format!("head {}", head + 1), of_head(head))));
            for (part, shares) in parts {
                let values = shares[prefix..].to_vec();
                let on_patches = values.iter().sum::<f32>() * 100.0;
                let visual = Visual {
                    layer: pass.settings.layers[at],
                    kind: VisualKind::Attention,
                    subject: source.name(),
                    part,
                    of: of.into(),
                    grid: batch.grid,
                    marked: (of == "the marked patch").then_some([row, column]),
                    note: format!("{on_patches:.0} % on patches"),
                    values: VisualValues::Numbers(values),
                };
                maps.push((*index, visual));
            }
        }
    }
    Ok(maps)
}
