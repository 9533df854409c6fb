use burn::tensor::Tensor;
use image::RgbImage;

use crate::device::Device;
use crate::error::Result;
use crate::figure::{ColourBar, Sheet, SheetRow, Tile, TileImage, number};
use crate::maps::FeatureMaps;
use crate::model::Model;
use crate::readback::read;
use crate::refine::Refiner;
use crate::tokens::patch_norms;

/// Maps of patch norms of a teacher, the refined teacher and its student, side by side.
#[derive(Debug, Clone, Copy)]
pub struct NormFigure<'a> {
    /// The teacher.
    pub teacher: &'a Model,
    /// The block of the teacher after which norms are taken, from 0.
    pub layer: usize,
    /// What refines the teacher's features.
    pub refiner: &'a Refiner,
    /// The student.
    pub student: &'a Model,
    /// The student's block that learns from the layer, from 0.
    pub student_layer: usize,
}

impl NormFigure<'_> {
    /// Draws the `shown` of `images` in which the teacher's largest norm is largest.
    /// They have the size that the models take. All models are on `device`.
    ///
    /// # Errors
    /// [`Error::Drawing`](crate::Error::Drawing); those of the device.
    pub fn draw(&self, images: &[RgbImage], shown: usize, device: &Device) -> Result<RgbImage> {
        let normalise = self.teacher.preprocess().normalise;
        let pictures = self.most_affected(images, shown, device)?;
        let batch = normalise.batch(&pictures, device.burn())?;
        let [teacher, student] = [self.teacher, self.student].map(Model::vit);
        let prefix = teacher.prefix_tokens();
        let raw = teacher.intermediate(batch.clone(), &[self.layer]).remove(0);
        let refined = self.refiner.intermediate(teacher, batch.clone(), &[self.layer]).remove(0);
        let learnt = student.intermediate(batch, &[self.student_layer]).remove(0);
        let norms = [
            NormMaps::of("teacher", 0, raw, prefix)?,
            NormMaps::of("refined teacher", 0, refined, prefix)?,
            NormMaps::of("student", 1, learnt, student.prefix_tokens())?,
        ];
        let title = match self.layer + 1 == teacher.depth() {
            true => "Patch norms of the last block".to_owned(),
            false => format!("Patch norms of block {}", self.layer),
        };
        let sheet = sheet(title, &pictures, &norms, self.teacher.config().grid());
        sheet.draw(&FeatureMaps::new(device))
    }

    fn most_affected(
        &self,
        images: &[RgbImage],
        shown: usize,
        device: &Device,
    ) -> Result<Vec<RgbImage>> {
        let teacher = self.teacher.vit();
        let batch = self.teacher.preprocess().normalise.batch(images, device.burn())?;
        let tokens = teacher.intermediate(batch, &[self.layer]).remove(0);
        let largest = read(patch_norms(tokens, teacher.prefix_tokens()).max_dim(1))?;
        let mut ranked: Vec<(f32, &RgbImage)> = largest.into_iter().zip(images).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(ranked.into_iter().take(shown).map(|(_, image)| image.clone()).collect())
    }
}

/// Patch norms of one model's features.
struct NormMaps {
    /// Whose features.
    name: &'static str,
    /// Maps of the same space, which share one range of colours.
    group: usize,
    /// Row-major norms `[P]` of each picture.
    norms: Vec<Vec<f32>>,
}

impl NormMaps {
    fn of(name: &'static str, group: usize, tokens: Tensor<3>, prefix: usize) -> Result<Self> {
        let norms = patch_norms(tokens, prefix);
        let patches = norms.dims()[1];
        let norms = read(norms)?.chunks(patches).map(<[f32]>::to_vec).collect();
        Ok(Self { name, group, norms })
    }
}

/// A row for each picture, with a map of patch norms for each model; `grid` is rows and
/// columns of patches.
fn sheet<'a>(
    title: String,
    pictures: &'a [RgbImage],
    models: &'a [NormMaps],
    grid: [usize; 2],
) -> Sheet<'a> {
    let bar = |model: &NormMaps| {
        let group = models.iter().filter(|other| other.group == model.group);
        ColourBar::from_zero(group.flat_map(|one| one.norms.iter().flatten().copied()))
    };
    let bars: Vec<ColourBar> = models.iter().map(bar).collect();
    let row = |(index, picture): (usize, &'a RgbImage)| {
        let input = Tile {
            kind: "input".into(),
            subject: "scene".into(),
            image: TileImage::Photo(picture),
            cross: None,
            numbers: String::new(),
        };
        let map = |(one, bar): (&'a NormMaps, &ColourBar)| {
            let values = &one.norms[index];
            let most = values.iter().copied().fold(0.0, f32::max);
            Tile {
                kind: "patch norm".into(),
                subject: one.name.into(),
                image: TileImage::Map { values, grid, bar: bar.clone() },
                cross: None,
                numbers: format!("largest {}", number(most)),
            }
        };
        let tiles = std::iter::once(input).chain(models.iter().zip(&bars).map(map)).collect();
        SheetRow { heading: String::new(), tiles }
    };
    Sheet {
        title,
        notes: vec![
            "Coloured from 0; teacher and refined teacher share one range, the student has its own."
                .into(),
        ],
        rows: pictures.iter().enumerate().map(row).collect(),
        size: grid,
    }
}
