use super::Gpu;
use super::compose::Source;
use super::shader::{Field, Kind};
use crate::error::Result;

/// Every shader in every variant.
static SHADERS: &[&Source] = &[
    &super::attention::ATTENTION.source,
    &super::colormap::EXTENT.source,
    &super::colormap::OVER.source,
    &super::colormap::PLAIN.source,
    &super::cosine_map::BETWEEN.source,
    &super::cosine_map::BETWEEN_FOUR.source,
    &super::cosine_map::TO.source,
    &super::cosine_map::TO_FOUR.source,
    &super::gated_refine::FOUR.source,
    &super::gated_refine::ONE.source,
    &super::gram::DISTANCE.source,
    &super::gram::GRAM.source,
    &super::gram::SUM.source,
    &super::layer_norm::LAYER_NORM.source,
    &super::linear::PLAIN.source,
    &super::linear::PLAIN_HALF.source,
    &super::linear::RESIDUAL.source,
    &super::linear::RESIDUAL_HALF.source,
    &super::low_rank_refine::FOUR.source,
    &super::low_rank_refine::ONE.source,
    &super::norm_quantile::NORM_QUANTILE.source,
    &super::patch_norm::FOUR.source,
    &super::patch_norm::ONE.source,
    &super::rotary::ROTARY.source,
    &super::swiglu::SWIGLU.source,
    &super::unfold::UNFOLD.source,
];

/// The shaders that the maps of nearly every model need, in order of use.
static USUAL: &[&Source] = &[
    &super::unfold::UNFOLD.source,
    &super::linear::RESIDUAL.source,
    &super::layer_norm::LAYER_NORM.source,
    &super::linear::PLAIN.source,
    &super::attention::ATTENTION.source,
    &super::gated_refine::FOUR.source,
    &super::patch_norm::FOUR.source,
    &super::norm_quantile::NORM_QUANTILE.source,
    &super::colormap::PLAIN.source,
];

/// A shader as the device compiles it.
#[derive(Debug, Clone)]
pub struct ShaderText {
    /// File, entry point and the variant's flags: `linear.linear+half`.
    pub label: &'static str,
    /// Its file in the repository.
    pub file: &'static str,
    /// The function to run.
    pub entry_point: &'static str,
    /// The composed text.
    pub wgsl: String,
    /// The host's view of the uniform `params`.
    pub params: Vec<ParamField>,
    origins: Vec<(String, usize)>,
}

/// One number of a shader's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamField {
    /// The member; of a struct within, `outer.inner`.
    pub name: String,
    /// Bytes before it.
    pub offset: usize,
    /// `u32` or `f32`.
    pub kind: &'static str,
}

impl ShaderText {
    /// File and line from which a line of the text comes, both counted from 1.
    pub fn origin(&self, line: usize) -> Option<(&str, usize)> {
        let (file, line) = self.origins.get(line.checked_sub(1)?)?;
        Some((file, *line))
    }
}

/// All shaders in all variants, to read, to validate or to run elsewhere.
///
/// # Errors
/// [`Error::Gpu`](crate::Error::Gpu) where one cannot be composed, which the tests
/// rule out.
pub fn shaders() -> Result<Vec<ShaderText>> {
    SHADERS.iter().map(|source| text(source)).collect()
}

impl Gpu {
    /// Compiles the shaders that nearly every model needs. A browser does this in the
    /// background, while a model loads; elsewhere the call waits until it is done.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) where the device is lost.
    pub fn warm_up(&self) -> Result<()> {
        USUAL.iter().try_for_each(|source| self.pipeline(source).map(drop))
    }
}

fn text(source: &Source) -> Result<ShaderText> {
    let composed = source.compose()?;
    let mut params = Vec::new();
    flatten(source.params, "", 0, &mut params);
    Ok(ShaderText {
        label: source.label,
        file: source.file,
        entry_point: source.entry,
        wgsl: composed.wgsl,
        params,
        origins: composed.origins,
    })
}

fn flatten(fields: &[Field], within: &str, base: usize, into: &mut Vec<ParamField>) {
    for field in fields {
        let (name, offset) = (format!("{within}{}", field.name), base + field.offset);
        match field.kind {
            Kind::U32 => into.push(ParamField { name, offset, kind: "u32" }),
            Kind::F32 => into.push(ParamField { name, offset, kind: "f32" }),
            Kind::Struct(inner) => flatten(inner, &format!("{name}."), offset, into),
        }
    }
}
