mod lesson;
mod refinement;

use std::collections::BTreeMap;

use burn::tensor::wgpu::WgpuSetup;
use image::RgbImage;
use js_sys::{Float32Array, Function, Object, Uint8Array, Uint8ClampedArray};
use serde::Deserialize;
use singer::Device;
use singer::data::{LARGE_PIXELS, check_size, render};
use singer::maps::{ColourRange, Colouring, FeatureMaps, Palette, Upsampling};
use singer::refine::Adapters;
use wasm_bindgen::prelude::*;

use crate::canvas::{Canvases, Map, draw_by_host};
use crate::error::{Fault, Result};
use crate::faults::Faults;
use crate::fit::Fit;
use crate::lesson::Lesson;
use crate::model::{Model, bytes_of, most_bound};
use crate::numbers::{Timer, plain, set};
use crate::picture::{framed, from_js, to_js};
use crate::seen::{Panel, Seen, View, Wanted};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("../types.d.ts");

/// Seed of the procedural scenes, that of the program's `scenes:`.
const SCENES: u64 = 2026;

/// A teacher, its refinement and its student, and the image that they look at.
///
/// Calls must not overlap: await each before the next.
#[wasm_bindgen]
pub struct Singer {
    device: Device,
    /// None on the CPU.
    setup: Option<WgpuSetup>,
    /// Whether the GPU is a software rasteriser.
    software: bool,
    faults: Faults,
    maps: FeatureMaps,
    canvases: Canvases,
    teacher: Option<Model>,
    student: Option<Model>,
    adapters: Adapters,
    seen: Option<Seen>,
    view: Option<View>,
    fit: Option<Fit>,
    lesson: Option<Lesson>,
}

/// `View` of types.d.ts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewRequest {
    layer: usize,
    quantile: f64,
    strength: f64,
}

/// `Storage` of types.d.ts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Storage {
    half: bool,
}

/// `Look` of types.d.ts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    kind: Kind,
    palette: Palette,
    upsampling: Upsampling,
    opacity: f32,
    range: Option<(f32, f32)>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Norm,
    Similarity,
}

#[wasm_bindgen]
impl Singer {
    /// Opens the browser's WebGPU adapter (`webgpu`), the CPU (`cpu`), or the first of
    /// them that is there (`auto`). `onLost` is called once, with a message, when the
    /// device is lost; every call throws from then on.
    pub async fn open(
        #[wasm_bindgen(unchecked_param_type = "\"auto\" | \"webgpu\" | \"cpu\"")] prefer: &str,
        #[wasm_bindgen(
            js_name = onLost,
            unchecked_optional_param_type = "(message: string) => void"
        )]
        on_lost: Option<Function>,
    ) -> Result<Singer> {
        let (device, setup) = match prefer {
            "cpu" => (Device::cpu(), None),
            "webgpu" => Device::open_webgpu().await.map(|(device, setup)| (device, Some(setup)))?,
            "auto" => match Device::open_webgpu().await {
                Ok((device, setup)) => (device, Some(setup)),
                Err(_) => (Device::cpu(), None),
            },
            other => return Err(Fault::new(format!("{other}: open auto, webgpu or cpu"))),
        };
        if let Some(gpu) = device.gpu() {
            gpu.warm_up()?;
        }
        let watch = |setup: &WgpuSetup| Faults::watch(&setup.device, on_lost);
        let faults = setup.as_ref().map(watch).unwrap_or_default();
        let maps = FeatureMaps::new(&device);
        let is_software =
            |setup: &WgpuSetup| setup.adapter.get_info().device_type == wgpu::DeviceType::Cpu;
        Ok(Self {
            device,
            software: setup.as_ref().is_some_and(is_software),
            setup,
            faults,
            maps,
            canvases: Canvases::default(),
            teacher: None,
            student: None,
            adapters: Adapters::default(),
            seen: None,
            view: None,
            fit: None,
            lesson: None,
        })
    }

    /// Width, height and format of an encoded image, from its header: to be asked
    /// before a browser decodes it. Throws for what is no image, or has too many
    /// pixels.
    #[wasm_bindgen(js_name = imageSize, unchecked_return_type = "ImageSize")]
    pub fn image_size(bytes: &Uint8Array) -> Result<JsValue> {
        // The header; JPEGs may carry a long preview before their size.
        let head = bytes.subarray(0, bytes.length().min(4 << 20)).to_vec();
        if head.is_empty() {
            return Err(Fault::new("the file is empty"));
        }
        let format = imagesize::image_type(&head);
        let size = imagesize::blob_size(&head);
        let (Ok(format), Ok(size)) = (format, size) else {
            let text = String::from_utf8_lossy(&head[..head.len().min(512)]);
            return Err(Fault::new(match text.contains("<svg") || text.contains("<?xml") {
                true => "an SVG has no pixels: export it as PNG",
                false => "the file is no image that is known here",
            }));
        };
        check_size(size.width as u64, size.height as u64, LARGE_PIXELS)?;
        let object = Object::new();
        set(&object, "width", size.width as u32)?;
        set(&object, "height", size.height as u32)?;
        set(&object, "format", format!("{format:?}").to_lowercase())?;
        Ok(object.into())
    }

    /// What computes, and whether it is lost.
    #[wasm_bindgen(unchecked_return_type = "DeviceInfo")]
    pub fn device(&self) -> Result<JsValue> {
        let object = Object::new();
        set(&object, "backend", if self.device.is_cpu() { "cpu" } else { "webgpu" })?;
        set(&object, "name", self.device.name())?;
        set(&object, "maxBindingBytes", most_bound(&self.device) as f64)?;
        set(&object, "lost", self.faults.lost().map_or(JsValue::NULL, JsValue::from))?;
        Ok(object.into())
    }

    /// Takes a teacher from a safetensors file in any published naming; `configs` are
    /// the texts of files such as config.json beside it. Student, adapters and image
    /// of the teacher before are dropped. With `storage` `{ half: true }` its matrices
    /// are kept as f16 on a GPU: half the memory, and no fitting of adapters.
    #[wasm_bindgen(js_name = loadTeacher, unchecked_return_type = "ModelInfo")]
    pub async fn load_teacher(
        &mut self,
        name: &str,
        bytes: &Uint8Array,
        #[wasm_bindgen(unchecked_param_type = "Record<string, string>")] configs: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Storage")] storage: Option<JsValue>,
    ) -> Result<JsValue> {
        let teacher = self.load(name, bytes, configs, storage)?;
        let info = plain(&teacher.info)?;
        self.student = None;
        self.adapters = Adapters::default();
        self.seen = None;
        self.view = None;
        self.fit = None;
        self.lesson = None;
        self.teacher = Some(teacher);
        Ok(info)
    }

    /// Takes a student of the teacher, as `loadTeacher` takes its file.
    #[wasm_bindgen(js_name = loadStudent, unchecked_return_type = "ModelInfo")]
    pub async fn load_student(
        &mut self,
        name: &str,
        bytes: &Uint8Array,
        #[wasm_bindgen(unchecked_param_type = "Record<string, string>")] configs: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Storage")] storage: Option<JsValue>,
    ) -> Result<JsValue> {
        let teacher = self.teacher.as_ref().ok_or_else(no_teacher)?;
        let patch = teacher.config.patch_size;
        let student = self.load(name, bytes, configs, storage)?;
        if student.config.patch_size != patch {
            return Err(Fault::new(format!(
                "the teacher's patches are {patch} pixels wide and the student's {}; their maps can be compared for equal ones only",
                student.config.patch_size
            )));
        }
        let info = plain(&student.info)?;
        self.student = Some(student);
        self.seen = None;
        self.view = None;
        Ok(info)
    }

    /// Forgets the student.
    #[wasm_bindgen(js_name = removeStudent)]
    pub fn remove_student(&mut self) {
        self.student = None;
        self.seen = None;
        self.view = None;
    }

    /// Shows an image to the models: scaled so that its shorter side is `side` pixels
    /// (0: the teacher's own) and cropped to whole patches.
    #[wasm_bindgen(unchecked_return_type = "Looked")]
    pub async fn look(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Image")] image: JsValue,
        side: usize,
    ) -> Result<JsValue> {
        self.faults.check()?;
        let timer = Timer::start("prepare", None)?;
        let teacher = self.teacher.as_ref().ok_or_else(no_teacher)?;
        let own = teacher.config.img_size;
        let short = if side == 0 { own[0].min(own[1]) } else { side };
        let filter = teacher.preprocess.interpolation;
        let picture = framed(&from_js(&image)?, short, teacher.config.patch_size, filter)?;
        self.check_attention(&picture)?;
        let mut times = vec![timer.stop().await?];
        let (seen, stages) =
            Seen::new(picture, teacher, self.student.as_ref(), &self.device).await?;
        self.faults.check()?;
        times.extend(stages);
        let object = Object::new();
        let size = [seen.picture.height(), seen.picture.width()];
        set(&object, "size", plain(&size)?)?;
        set(&object, "grid", plain(&seen.grid)?)?;
        set(&object, "image", to_js(&seen.picture))?;
        set(&object, "times", plain(&times)?)?;
        self.seen = Some(seen);
        self.view = None;
        Ok(object.into())
    }

    /// Norms and outliers of a layer, of its refinement and of the student's layer
    /// that learns from it; what `draw` draws from now on.
    #[wasm_bindgen(unchecked_return_type = "Maps")]
    pub async fn maps(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "View")] view: JsValue,
    ) -> Result<JsValue> {
        self.faults.check()?;
        let request: ViewRequest = from_value("view", view)?;
        let ViewRequest { layer, quantile, strength } = request;
        if !strength.is_finite() {
            return Err(Fault::new("the strength must be a finite number"));
        }
        let teacher = self.teacher.as_ref().ok_or_else(no_teacher)?;
        let seen = self.seen.as_mut().ok_or_else(no_image)?;
        let wanted = Wanted { layer, quantile, strength };
        let timer = Timer::start("maps", self.device.gpu())?;
        let view = seen.view(wanted, teacher, &self.adapters, &self.maps).await?;
        let time = timer.stop().await?;
        self.faults.check()?;
        let object = Object::new();
        set(&object, "grid", plain(&seen.grid)?)?;
        for panel in Panel::ALL {
            let numbers = view.panels.get(&panel).map(|features| features.numbers.to_js());
            set(&object, panel.name(), numbers.transpose()?.unwrap_or(JsValue::NULL))?;
        }
        set(&object, "times", plain(&[time])?)?;
        self.view = Some(view);
        Ok(object.into())
    }

    /// Cosine similarity of every patch to one of them (counted row by row), panel by
    /// panel; what `draw` draws for the kind `similarity`.
    #[wasm_bindgen(unchecked_return_type = "Record<Panel, Float32Array | null>")]
    pub async fn similarity(&mut self, patch: usize) -> Result<JsValue> {
        self.faults.check()?;
        let view = self.view.as_mut().ok_or_else(no_view)?;
        let found: BTreeMap<_, _> = view.mark(patch, &self.maps).await?.into_iter().collect();
        let object = Object::new();
        for panel in Panel::ALL {
            let values = found.get(&panel).map(|values| Float32Array::from(values.as_slice()));
            set(&object, panel.name(), values.map_or(JsValue::NULL, JsValue::from))?;
        }
        Ok(object.into())
    }

    /// Draws a panel of the current view at the canvas' own size in pixels: on a GPU
    /// without reading anything back.
    pub async fn draw(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Panel")] panel: &str,
        #[wasm_bindgen(unchecked_param_type = "OffscreenCanvas | HTMLCanvasElement")]
        canvas: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Look")] look: JsValue,
    ) -> Result<()> {
        self.faults.check()?;
        let look: Look = from_value("look", look)?;
        let panel = Panel::named(panel)?;
        let seen = self.seen.as_ref().ok_or_else(no_image)?;
        let view = self.view.as_ref().ok_or_else(no_view)?;
        let name = panel.name();
        let features = view.panels.get(&panel);
        let features =
            features.ok_or_else(|| Fault::new(format!("this layer has no {name} features")))?;
        let tensor = match look.kind {
            Kind::Norm => features.norms.clone(),
            Kind::Similarity => {
                features.similar.clone().ok_or_else(|| Fault::new("no patch is marked"))?
            }
        };
        let colouring = Colouring {
            palette: look.palette,
            upsampling: look.upsampling,
            range: look
                .range
                .map_or(ColourRange::Automatic, |(low, high)| ColourRange::Fixed(low, high)),
            opacity: look.opacity,
        };
        let map = Map { tensor, grid: seen.grid, picture: &seen.picture };
        match self.setup.as_ref().filter(|_| !self.software) {
            Some(setup) => {
                self.canvases.draw_on_gpu(setup, panel, &canvas, &map, &colouring, &self.maps)
            }
            None => draw_by_host(&canvas, &map, &colouring, &self.maps).await,
        }
    }

    /// The colours of a palette, least first: four bytes each as in an `Image`.
    #[wasm_bindgen(unchecked_return_type = "Uint8ClampedArray")]
    pub fn palette(
        #[wasm_bindgen(unchecked_param_type = "Look[\"palette\"]")] name: JsValue,
    ) -> Result<JsValue> {
        let palette: Palette = from_value("palette", name)?;
        Ok(Uint8ClampedArray::from(palette.table().as_flattened()).into())
    }

    /// A procedural scene, the one that the program calls `scenes:SEED`.
    #[wasm_bindgen(unchecked_return_type = "Image")]
    pub fn scene(&self, seed: usize, side: u32) -> Result<JsValue> {
        if !(1..=2048).contains(&side) {
            return Err(Fault::new(format!("a scene's side is 1 to 2048 pixels, not {side}")));
        }
        Ok(to_js(&render(SCENES, seed, side).image))
    }
}

impl Singer {
    fn load(
        &self,
        name: &str,
        bytes: &Uint8Array,
        configs: JsValue,
        storage: Option<JsValue>,
    ) -> Result<Model> {
        self.faults.check()?;
        let configs = from_value("configs", configs)?;
        let storage: Option<Storage> =
            storage.map(|storage| from_value("storage", storage)).transpose()?;
        let half = storage.is_some_and(|storage| storage.half) && !self.device.is_cpu();
        Model::load(name, bytes_of(name, bytes)?, configs, half, &self.device)
    }

    /// Refuses a picture whose attention weights the device cannot bind, where burn
    /// stores them.
    fn check_attention(&self, picture: &RgbImage) -> Result<()> {
        let models = self.teacher.iter().chain(&self.student);
        for model in models.filter(|model| !model.vit.by_shaders()) {
            let config = &model.config;
            let patch = config.patch_size as u32;
            let patches = (picture.width() / patch) as u64 * (picture.height() / patch) as u64;
            let tokens = patches + config.prefix_tokens() as u64;
            let needed = 4 * tokens * tokens * config.num_heads as u64;
            let limit = most_bound(&self.device);
            if needed > limit {
                return Err(Fault::new(format!(
                    "the attention of {tokens} tokens takes {} MB, and this device binds {} MB at most: choose a smaller input",
                    needed / 1_000_000,
                    limit / 1_000_000
                )));
            }
        }
        Ok(())
    }
}

fn from_value<T: serde::de::DeserializeOwned>(what: &str, value: JsValue) -> Result<T> {
    serde_wasm_bindgen::from_value(value).map_err(|error| Fault::new(format!("{what}: {error}")))
}

fn no_teacher() -> Fault {
    Fault::new("load a teacher first")
}

fn no_image() -> Fault {
    Fault::new("let the models look at an image first")
}

fn no_view() -> Fault {
    Fault::new("ask for maps first")
}
