use std::collections::BTreeMap;

use burn::tensor::Tensor;
use image::RgbImage;
use singer::Device;
use singer::distill::{Mapping, map_layers};
use singer::frozen::FrozenVit;
use singer::maps::FeatureMaps;
use singer::readback::read_async;
use singer::refine::{Adapter, Adapters};

use crate::error::{Fault, Result};
use crate::model::Model;
use crate::numbers::{PanelNumbers, Stage, Timer};

/// Bytes of features that are kept of an image, over all blocks.
const MOST_FEATURES: usize = 1 << 30;

/// An image that the models have looked at, and their tokens leaving every block.
#[derive(Debug)]
pub struct Seen {
    pub picture: RgbImage,
    /// Patches along height and width.
    pub grid: [usize; 2],
    teacher: Tokens,
    student: Option<Tokens>,
    in_line: Option<InLine>,
}

#[derive(Debug)]
struct Tokens {
    /// `[1, T, D]` by block.
    blocks: Vec<Tensor<3>>,
    prefix: usize,
    /// The model for the picture's grid, where that is not its own.
    regridded: Option<FrozenVit>,
}

/// The teacher's tokens that a closed form refined on the way through its blocks.
#[derive(Debug)]
struct InLine {
    strength: f64,
    /// The first block that is refined, and those after it, which read refined tokens.
    first: usize,
    blocks: Vec<Tensor<3>>,
}

/// One of the panels that show features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Panel {
    Teacher,
    Refined,
    Student,
}

impl Panel {
    pub const ALL: [Self; 3] = [Self::Teacher, Self::Refined, Self::Student];

    pub fn name(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Refined => "refined",
            Self::Student => "student",
        }
    }

    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|panel| panel.name() == name);
        found.ok_or_else(|| Fault::new(format!("there is no panel {name}")))
    }
}

/// What the panels show: one layer of an image's features.
#[derive(Debug)]
pub struct View {
    pub panels: BTreeMap<Panel, Features>,
}

/// One panel's features.
#[derive(Debug)]
pub struct Features {
    /// `[1, T, D]`.
    tokens: Tensor<3>,
    prefix: usize,
    /// `[1, P]`.
    pub norms: Tensor<2>,
    /// Similarity to the marked patch, `[1, P]`.
    pub similar: Option<Tensor<2>>,
    pub numbers: PanelNumbers,
}

/// What a view is of.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub layer: usize,
    pub quantile: f64,
    /// Of the refinement: 0 for none, 1 for the adapter's own.
    pub strength: f64,
}

impl Seen {
    /// Lets the models look at a picture that is whole patches of both.
    pub async fn new(
        picture: RgbImage,
        teacher: &Model,
        student: Option<&Model>,
        device: &Device,
    ) -> Result<(Self, Vec<Stage>)> {
        let patch = teacher.config.patch_size;
        let grid = [picture.height(), picture.width()].map(|side| side as usize / patch);
        let timer = Timer::start("teacher", device.gpu())?;
        let of_teacher = tokens(teacher, &picture, grid, device).await?;
        let mut stages = vec![timer.stop().await?];
        let mut of_student = None;
        if let Some(student) = student {
            let timer = Timer::start("student", device.gpu())?;
            of_student = Some(tokens(student, &picture, grid, device).await?);
            stages.push(timer.stop().await?);
        }
        let (teacher, student) = (of_teacher, of_student);
        Ok((Self { picture, grid, teacher, student, in_line: None }, stages))
    }

    /// To be called where the adapters are others from now on.
    pub fn forget_refined(&mut self) {
        self.in_line = None;
    }

    /// Lets another student look at the picture.
    pub async fn look_anew(&mut self, student: &Model, device: &Device) -> Result<()> {
        self.student = Some(tokens(student, &self.picture, self.grid, device).await?);
        Ok(())
    }

    /// Norms, outliers and refinement of a layer.
    pub async fn view(
        &mut self,
        wanted: Wanted,
        teacher: &Model,
        adapters: &Adapters,
        maps: &FeatureMaps,
    ) -> Result<View> {
        let Wanted { layer, quantile, strength } = wanted;
        let raw = self.teacher.blocks.get(layer).cloned().ok_or_else(|| {
            let last = self.teacher.blocks.len() - 1;
            Fault::new(format!("there is no block {layer}; the teacher's are 0 to {last}"))
        })?;
        let prefix = self.teacher.prefix;
        let mut shown = vec![(Panel::Teacher, layer, raw.clone(), prefix)];
        let refined = match adapters.is_closed() {
            true => Some(self.in_line(layer, strength, teacher, adapters, maps)?),
            false => {
                let scaled = adapters.get(layer).map(|adapter| scaled(adapter, strength));
                scaled.map(|adapter| maps.refine(raw, &adapter, prefix)).transpose()?
            }
        };
        shown.extend(refined.map(|refined| (Panel::Refined, layer, refined, prefix)));
        if let Some(student) = &self.student {
            let own = self.student_layer(layer, student.blocks.len(), adapters)?;
            shown.push((Panel::Student, own, student.blocks[own].clone(), student.prefix));
        }

        let mut norms = Vec::with_capacity(shown.len());
        let mut wanted = Vec::with_capacity(2 * shown.len());
        for (panel, _, tokens, prefix) in &shown {
            let of_panel = maps.norms(tokens.clone(), *prefix)?;
            wanted.push(of_panel.clone());
            // What the refinement does to the teacher's outliers is the question.
            if *panel != Panel::Refined {
                wanted.push(maps.outliers(of_panel.clone(), quantile)?.threshold);
            }
            norms.push(of_panel);
        }
        // Read together: each read is a way to the GPU and back.
        let values = read_async(Tensor::cat(wanted, 1)).await?;
        let patches = self.grid[0] * self.grid[1];
        let (mut at, mut threshold) = (0, 0.0);
        let mut panels = BTreeMap::new();
        for ((panel, layer, tokens, prefix), norms) in shown.into_iter().zip(norms) {
            let of_panel = values[at..at + patches].to_vec();
            at += patches;
            if panel != Panel::Refined {
                threshold = values[at];
                at += 1;
            }
            let numbers = PanelNumbers { layer, norms: of_panel, threshold };
            panels.insert(panel, Features { tokens, prefix, norms, similar: None, numbers });
        }
        Ok(View { panels })
    }

    /// A block's tokens under a closed form: up to the first block that it refines, the
    /// teacher's own.
    fn in_line(
        &mut self,
        layer: usize,
        strength: f64,
        teacher: &Model,
        adapters: &Adapters,
        maps: &FeatureMaps,
    ) -> Result<Tensor<3>> {
        let Tokens { blocks: raw, prefix, regridded } = &self.teacher;
        let first = match adapters.layers().first() {
            Some(&first) if first <= layer => first,
            _ => return Ok(raw[layer].clone()),
        };
        let in_line = match self.in_line.take().filter(|known| known.strength == strength) {
            Some(known) => known,
            None => {
                let vit = regridded.as_ref().unwrap_or(&teacher.vit);
                let mut blocks: Vec<Tensor<3>> = Vec::with_capacity(raw.len() - first);
                for block in first..raw.len() {
                    let tokens = match blocks.last() {
                        Some(before) => vit.go_on(before.clone(), block..block + 1)?.remove(0),
                        None => raw[block].clone(),
                    };
                    blocks.push(match adapters.get(block) {
                        Some(adapter) => {
                            maps.refine(tokens, &scaled(adapter, strength), *prefix)?
                        }
                        None => tokens,
                    });
                }
                InLine { strength, first, blocks }
            }
        };
        let tokens = in_line.blocks[layer - in_line.first].clone();
        self.in_line = Some(in_line);
        Ok(tokens)
    }

    /// The student's block that learnt from a teacher's, where the adapters say it; else the
    /// one at the same depth.
    fn student_layer(&self, layer: usize, blocks: usize, adapters: &Adapters) -> Result<usize> {
        if let Some(own) = adapters.student_layer(layer).filter(|&own| own < blocks) {
            return Ok(own);
        }
        let depth = self.teacher.blocks.len();
        Ok(map_layers(&[layer], depth, blocks, Mapping::default())?[0])
    }
}

impl View {
    /// Similarity of every patch to the marked one, panel by panel.
    pub async fn mark(
        &mut self,
        patch: usize,
        maps: &FeatureMaps,
    ) -> Result<Vec<(Panel, Vec<f32>)>> {
        let mut wanted = Vec::with_capacity(self.panels.len());
        for features in self.panels.values_mut() {
            let similar = maps.cosine_to(features.tokens.clone(), &[patch], features.prefix)?;
            features.similar = Some(similar.clone());
            wanted.push(similar);
        }
        let values = read_async(Tensor::cat(wanted, 1)).await?;
        let patches = values.len() / self.panels.len();
        let each = values.chunks(patches).map(<[f32]>::to_vec);
        Ok(self.panels.keys().copied().zip(each).collect())
    }
}

/// With its refinement times `strength`. Φ_up also says where a gate opens, so Φ_down takes
/// the factor.
fn scaled(adapter: &Adapter, strength: f64) -> Adapter {
    let (up, gate) = (adapter.up.val(), adapter.gate.clone());
    Adapter::from_parts(adapter.down.val() * strength, up, gate)
}

/// A model's tokens of a picture, computed.
async fn tokens(
    model: &Model,
    picture: &RgbImage,
    grid: [usize; 2],
    device: &Device,
) -> Result<Tokens> {
    let config = &model.config;
    let count = grid[0] * grid[1] + config.prefix_tokens();
    let bytes = 4 * count * config.embed_dim * config.depth;
    if bytes > MOST_FEATURES {
        return Err(Fault::new(format!(
            "the features of {count} tokens over {} blocks are {} MB, more than {} MB: choose a smaller input",
            config.depth,
            bytes >> 20,
            MOST_FEATURES >> 20
        )));
    }
    let regridded = match config.grid() == grid {
        true => None,
        false => Some(model.vit.with_grid_async(device, config.grid(), grid).await?),
    };
    let vit = regridded.as_ref().unwrap_or(&model.vit);
    let image = model.preprocess.normalise.batch([picture], device.burn())?;
    let layers: Vec<usize> = (0..vit.depth()).collect();
    let blocks = vit.intermediate(image, &layers)?;
    if let Some(last) = blocks.last() {
        // One number, which is there when all of them are.
        read_async(last.clone().slice([0..1, 0..1, 0..1])).await?;
    }
    Ok(Tokens { blocks, prefix: vit.prefix_tokens(), regridded })
}
