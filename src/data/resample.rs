use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use super::MAX_PIXELS;
use crate::vit::Interpolation;

/// Resizes a window (left, top, width, height) to `[h, w]` with Pillow's
/// antialiased filters on 8-bit values.
///
/// As in Pillow, rows come first and are rounded to 8 bits; the library on its
/// own would begin with columns, which moves sharp edges by up to 11 grey levels.
pub(super) fn resample(
    image: &RgbImage,
    [left, top, width, height]: [u32; 4],
    [h, w]: [usize; 2],
    interpolation: Interpolation,
) -> RgbImage {
    let crop = image::imageops::crop_imm(image, left, top, width, height).to_image();
    // A very tall image would be enormous between the two.
    let rows_first = (w as u64).saturating_mul(height.into()) <= MAX_PIXELS;
    let (halfway_w, halfway_h) = if rows_first { (w as u32, height) } else { (width, h as u32) };
    let halfway = resize_to(&crop, halfway_w, halfway_h, interpolation);
    resize_to(&halfway, w as u32, h as u32, interpolation)
}

fn resize_to(image: &RgbImage, width: u32, height: u32, filter: Interpolation) -> RgbImage {
    let source = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3);
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(match filter {
        Interpolation::Nearest => ResizeAlg::Nearest,
        Interpolation::Box => ResizeAlg::Convolution(FilterType::Box),
        Interpolation::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Interpolation::Hamming => ResizeAlg::Convolution(FilterType::Hamming),
        Interpolation::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Interpolation::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
    });
    let done =
        source.is_ok_and(|source| Resizer::new().resize(&source, &mut target, &options).is_ok());
    debug_assert!(done, "source and target are RGB images of their stated sizes");
    RgbImage::from_raw(width, height, target.into_vec())
        .unwrap_or_else(|| RgbImage::new(width, height))
}
