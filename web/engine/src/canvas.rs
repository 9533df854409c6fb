use std::collections::BTreeMap;

use burn::tensor::Tensor;
use burn::tensor::wgpu::WgpuSetup;
use image::RgbImage;
use singer::data::{EvalTransform, Interpolation, Resize, eval_crop};
use singer::gpu::Slice;
use singer::maps::{Colouring, FeatureMaps};
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{
    CanvasRenderingContext2d, HtmlCanvasElement, ImageData, OffscreenCanvas,
    OffscreenCanvasRenderingContext2d,
};

use crate::error::{Fault, Result};
use crate::picture::opaque;
use crate::seen::Panel;

/// Pixels in 256 bytes, to a multiple of which a copy into a texture wants its rows.
const ROW: usize = 64;

/// The canvases that panels are drawn on.
#[derive(Default)]
pub struct Canvases {
    surfaces: BTreeMap<Panel, Surface>,
}

struct Surface {
    canvas: JsValue,
    surface: wgpu::Surface<'static>,
    size: [usize; 2],
}

/// A map to draw.
pub struct Map<'a> {
    /// `[1, P]`.
    pub tensor: Tensor<2>,
    /// Patches along height and width.
    pub grid: [usize; 2],
    /// The image under it.
    pub picture: &'a RgbImage,
}

/// Either kind of canvas.
enum Canvas {
    Page(HtmlCanvasElement),
    Offscreen(OffscreenCanvas),
}

impl Canvas {
    fn of(value: &JsValue) -> Result<Self> {
        if let Some(canvas) = value.dyn_ref::<OffscreenCanvas>() {
            return Ok(Self::Offscreen(canvas.clone()));
        }
        let canvas = value.dyn_ref::<HtmlCanvasElement>().cloned();
        canvas.map(Self::Page).ok_or_else(|| Fault::new("draw wants a canvas"))
    }

    /// Height and width in pixels.
    fn size(&self) -> [usize; 2] {
        match self {
            Self::Page(canvas) => [canvas.height() as usize, canvas.width() as usize],
            Self::Offscreen(canvas) => [canvas.height() as usize, canvas.width() as usize],
        }
    }

    fn target(self) -> wgpu::SurfaceTarget<'static> {
        match self {
            Self::Page(canvas) => wgpu::SurfaceTarget::Canvas(canvas),
            Self::Offscreen(canvas) => wgpu::SurfaceTarget::OffscreenCanvas(canvas),
        }
    }
}

impl Canvases {
    /// Draws a map at the canvas' own size: the shader's pixels are copied on the GPU,
    /// never read back.
    pub fn draw_on_gpu(
        &mut self,
        setup: &WgpuSetup,
        panel: Panel,
        canvas: &JsValue,
        map: &Map,
        colouring: &Colouring,
        maps: &FeatureMaps,
    ) -> Result<()> {
        let size = Canvas::of(canvas)?.size();
        let stride = size[1].next_multiple_of(ROW);
        let under = under(map, size, colouring)?;
        let tensor = map.tensor.clone().reshape(map.grid);
        let pixels = maps.picture_on_gpu(tensor, size, stride, colouring, under.as_ref())?;
        let pixels = pixels.ok_or_else(|| Fault::new("the maps are not on the GPU"))?;
        let surface = self.surface(setup, panel, canvas, size)?;
        show(setup, surface, &pixels, size, stride)
    }

    fn surface(
        &mut self,
        setup: &WgpuSetup,
        panel: Panel,
        canvas: &JsValue,
        size: [usize; 2],
    ) -> Result<&wgpu::Surface<'static>> {
        let known = self.surfaces.get(&panel).is_some_and(|known| known.canvas == *canvas);
        if !known {
            let target = Canvas::of(canvas)?.target();
            let surface = setup
                .instance
                .create_surface(target)
                .map_err(|error| Fault::new(format!("the canvas cannot be drawn on: {error}")))?;
            self.surfaces.insert(panel, Surface { canvas: canvas.clone(), surface, size: [0; 2] });
        }
        let held = self.surfaces.get_mut(&panel).ok_or_else(|| Fault::new("no canvas"))?;
        if held.size != size {
            held.surface.configure(&setup.device, &configuration(size));
            held.size = size;
        }
        Ok(&held.surface)
    }
}

fn configuration([height, width]: [usize; 2]) -> wgpu::SurfaceConfiguration {
    wgpu::SurfaceConfiguration {
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_DST,
        format: wgpu::TextureFormat::Rgba8Unorm,
        color_space: Default::default(),
        width: width as u32,
        height: height as u32,
        present_mode: wgpu::PresentMode::AutoVsync,
        desired_maximum_frame_latency: 2,
        alpha_mode: wgpu::CompositeAlphaMode::PreMultiplied,
        view_formats: Vec::new(),
    }
}

/// Copies RGBA pixels of the GPU's memory to a canvas.
fn show(
    setup: &WgpuSetup,
    surface: &wgpu::Surface,
    pixels: &Slice,
    [height, width]: [usize; 2],
    stride: usize,
) -> Result<()> {
    use wgpu::CurrentSurfaceTexture::{Suboptimal, Success};
    let (Success(texture) | Suboptimal(texture)) = surface.get_current_texture() else {
        return Err(Fault::new("the canvas gives no texture to draw on"));
    };
    let mut encoder = setup.device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_texture(
        wgpu::TexelCopyBufferInfo {
            buffer: &pixels.buffer,
            layout: wgpu::TexelCopyBufferLayout {
                offset: pixels.offset,
                bytes_per_row: Some(4 * stride as u32),
                rows_per_image: None,
            },
        },
        texture.texture.as_image_copy(),
        wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 },
    );
    setup.queue.submit([encoder.finish()]);
    setup.queue.present(texture);
    Ok(())
}

/// Draws a map by way of the host: on the CPU, and for software GPUs, whose pictures
/// browsers do not show.
pub async fn draw_by_host(
    canvas: &JsValue,
    map: &Map<'_>,
    colouring: &Colouring,
    maps: &FeatureMaps,
) -> Result<()> {
    let canvas = Canvas::of(canvas)?;
    let [height, width] = canvas.size();
    let under = under(map, [height, width], colouring)?;
    let tensor = map.tensor.clone().reshape(map.grid);
    let picture = maps.picture_async(tensor, [height, width], colouring, under.as_ref()).await?;
    let refused = |_: JsValue| Fault::new("the canvas cannot be drawn on");
    let data = ImageData::new_with_u8_clamped_array_and_sh(
        Clamped(picture.as_raw()),
        width as u32,
        height as u32,
    )
    .map_err(refused)?;
    match canvas {
        Canvas::Page(canvas) => {
            let context = canvas.get_context("2d").map_err(refused)?;
            let context = context.and_then(|it| it.dyn_into::<CanvasRenderingContext2d>().ok());
            context.map(|context| context.put_image_data(&data, 0.0, 0.0))
        }
        Canvas::Offscreen(canvas) => {
            let context = canvas.get_context("2d").map_err(refused)?;
            let context =
                context.and_then(|it| it.dyn_into::<OffscreenCanvasRenderingContext2d>().ok());
            context.map(|context| context.put_image_data(&data, 0.0, 0.0))
        }
    }
    .ok_or_else(|| Fault::new("the canvas has another kind of context"))?
    .map_err(refused)
}

/// The image at the canvas' size, where it shows through.
fn under(map: &Map, size: [usize; 2], colouring: &Colouring) -> Result<Option<image::RgbaImage>> {
    if colouring.opacity >= 1.0 || size.contains(&0) {
        return Ok(None);
    }
    let transform = EvalTransform {
        resize: Resize::Exact(size),
        interpolation: Interpolation::Bicubic,
        ..EvalTransform::centre(size, 1)
    };
    let scaled = eval_crop(map.picture, &transform)?;
    Ok(image::RgbaImage::from_raw(size[1] as u32, size[0] as u32, opaque(&scaled)))
}
