use image::RgbImage;
use js_sys::{Array, Object, Reflect, Uint8ClampedArray};
use singer::data::{Interpolation, LARGE_PIXELS, check_size, eval_crop, whole_patches};
use wasm_bindgen::{JsCast, JsValue};

use crate::error::{Fault, Result};

/// Most patches of an image: attention holds their square for each head.
const MOST_PATCHES: usize = 1 << 13;

/// A list of `Image`s of JavaScript.
pub fn all_from_js(images: &Array) -> Result<Vec<RgbImage>> {
    images.iter().map(|image| from_js(&image)).collect()
}

/// An `Image` of JavaScript, RGBA, without its alpha.
pub fn from_js(image: &JsValue) -> Result<RgbImage> {
    let number = |key: &str| Reflect::get(image, &key.into()).ok()?.as_f64();
    let (Some(width), Some(height)) = (number("width"), number("height")) else {
        return Err(Fault::new("an image has data, width and height"));
    };
    let (width, height) = (width as u32, height as u32);
    check_size(width.into(), height.into(), LARGE_PIXELS)?;
    let data = Reflect::get(image, &"data".into()).ok().and_then(|data| {
        let data: Option<Uint8ClampedArray> = data.dyn_into().ok();
        data.filter(|data| u64::from(data.length()) == 4 * u64::from(width) * u64::from(height))
    });
    let data = data.ok_or_else(|| {
        Fault::new(format!("the image's data are not {width}x{height} pixels of RGBA"))
    })?;
    let mut pixels = Vec::with_capacity(3 * (width * height) as usize);
    // Row by row: the whole as RGBA beside the whole as RGB is too much for a photograph.
    let mut row = vec![0; 4 * width as usize];
    for y in 0..height {
        data.subarray(4 * width * y, 4 * width * (y + 1)).copy_to(&mut row);
        pixels.extend(row.as_chunks::<4>().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]));
    }
    RgbImage::from_raw(width, height, pixels).ok_or_else(|| Fault::new("the image is too large"))
}

/// The same as an `Image` of JavaScript.
pub fn to_js(image: &RgbImage) -> JsValue {
    let pixels = opaque(image);
    let result = Object::new();
    let set = |key: &str, value: JsValue| Reflect::set(&result, &key.into(), &value).is_ok();
    set("data", Uint8ClampedArray::from(pixels.as_slice()).into());
    set("width", image.width().into());
    set("height", image.height().into());
    result.into()
}

/// RGBA pixels.
pub fn opaque(image: &RgbImage) -> Vec<u8> {
    image.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2], 255]).collect()
}

/// The image scaled so that its shorter side is `short` pixels, and cropped to whole
/// patches, as `singer inspect --size` frames it.
pub fn framed(
    image: &RgbImage,
    short: usize,
    patch: usize,
    interpolation: Interpolation,
) -> Result<RgbImage> {
    let [height, width] = [image.height() as usize, image.width() as usize];
    let transform =
        whole_patches([height, width], Some(short), patch, interpolation).ok_or_else(|| {
            Fault::new(format!(
                "{width}x{height} pixels, {short} on the shorter side, leave no patch of {patch}x{patch}"
            ))
        })?;
    let patches = transform.size.map(|side| side / patch).iter().product::<usize>();
    if patches > MOST_PATCHES {
        return Err(Fault::new(format!(
            "the image would have {patches} patches, more than {MOST_PATCHES}: choose a smaller input"
        )));
    }
    Ok(eval_crop(image, &transform)?)
}
