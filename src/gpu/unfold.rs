use super::shader::{Shader, params, shader};
use super::{Recording, Slice};
use crate::error::{Error, Result};

pub(super) static UNFOLD: Shader<Params> = shader!("unfold", "unfold", [], [WORKGROUP]);
/// Vectors of four per workgroup.
const WORKGROUP: usize = 64;

params! {
    /// Mirrors `Params` of shaders/unfold.wgsl.
    pub(super) struct Params {
        images: u32,
        prefix: u32,
        height: u32,
        width: u32,
        patch_size: u32,
    }
}

/// The pixels of every patch as a row: `shaders/unfold.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct Unfold {
    /// Images, B.
    pub images: usize,
    /// H and W in pixels, multiples of `patch_size`.
    pub size: [usize; 2],
    /// Side of a patch in pixels, p; 3 p² is a multiple of 4.
    pub patch_size: usize,
    /// Rows of zeros before an image's patches.
    pub prefix: usize,
}

impl Unfold {
    /// Rows of one image, T.
    pub fn tokens(&self) -> usize {
        self.prefix + self.size.map(|side| side / self.patch_size).iter().product::<usize>()
    }

    /// Values of a row, 3 p².
    pub fn inner(&self) -> usize {
        3 * self.patch_size * self.patch_size
    }

    /// `[B, 3, H, W] -> [B, T, 3 p²]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes do not fit,
    /// [`GpuLimit`](Error::GpuLimit) where a slice exceeds a binding.
    pub fn record(&self, recording: &mut Recording, image: &Slice, out: &Slice) -> Result<()> {
        let [height, width] = self.size;
        if self.size.iter().any(|side| !side.is_multiple_of(self.patch_size)) {
            let patch = self.patch_size;
            let reason =
                format!("{height}x{width} pixels are not whole patches of {patch}x{patch}");
            return Err(Error::shape("unfold", reason));
        }
        super::by_four("unfold", self.inner())?;
        image.check("unfold, image", 3 * self.images * height * width)?;
        let elements = self.images * self.tokens() * self.inner();
        out.check("unfold, patches", elements)?;
        let params = Params {
            images: self.images as u32,
            prefix: self.prefix as u32,
            height: height as u32,
            width: width as u32,
            patch_size: self.patch_size as u32,
        };
        let groups = recording.gpu().spread((elements / 4).div_ceil(WORKGROUP));
        recording.dispatch(&UNFOLD, &params, &[(1, image), (2, out)], groups)
    }
}
