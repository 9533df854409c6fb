use js_sys::{Float32Array, Object, Reflect};
use serde::Serialize;
use singer::gpu::Gpu;
use wasm_bindgen::JsValue;

use crate::error::{Fault, Result};

/// `Stage` of types.d.ts.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    stage: &'static str,
    ms: f64,
    gpu: Option<f64>,
}

/// Times a stage.
pub struct Timer<'a> {
    stage: &'static str,
    start: f64,
    gpu: Option<&'a Gpu>,
}

impl<'a> Timer<'a> {
    /// Starts, with what the shaders take on the device where that can tell.
    pub fn start(stage: &'static str, gpu: Option<&'a Gpu>) -> Result<Self> {
        if let Some(gpu) = gpu {
            gpu.start_clock()?;
        }
        Ok(Self { stage, start: now(), gpu })
    }

    /// Stops once the results are there.
    pub async fn stop(self) -> Result<Stage> {
        let ms = now() - self.start;
        let seconds = match self.gpu {
            Some(gpu) => gpu.stop_clock_async().await?,
            None => None,
        };
        Ok(Stage { stage: self.stage, ms, gpu: seconds.map(|seconds| 1000.0 * seconds) })
    }
}

/// Milliseconds since some moment.
fn now() -> f64 {
    let performance = Reflect::get(&js_sys::global(), &"performance".into());
    performance.map_or(0.0, |performance| {
        wasm_bindgen::JsCast::unchecked_into::<web_sys::Performance>(performance).now()
    })
}

/// What the norms of one panel come to.
#[derive(Debug, Clone)]
pub struct PanelNumbers {
    pub layer: usize,
    pub norms: Vec<f32>,
    pub threshold: f32,
}

impl PanelNumbers {
    /// `PanelNumbers` of types.d.ts.
    pub fn to_js(&self) -> Result<JsValue> {
        let mut sorted = self.norms.clone();
        sorted.sort_by(f32::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        };
        let max = sorted.last().copied().unwrap_or_default();
        let outliers = self.norms.iter().filter(|&&norm| norm > self.threshold).count();
        let object = Object::new();
        set(&object, "layer", self.layer as u32)?;
        set(&object, "norms", Float32Array::from(self.norms.as_slice()))?;
        set(&object, "threshold", self.threshold)?;
        set(&object, "outliers", outliers as u32)?;
        set(&object, "median", median)?;
        set(&object, "max", max)?;
        set(&object, "ratio", max / median.max(f32::MIN_POSITIVE))?;
        Ok(object.into())
    }
}

/// Puts a property into an object.
pub fn set(object: &Object, key: &str, value: impl Into<JsValue>) -> Result<()> {
    Reflect::set(object, &key.into(), &value.into())
        .map(drop)
        .map_err(|_| Fault::new(format!("{key} could not be set")))
}

/// As plain JavaScript values.
pub fn plain(value: &impl Serialize) -> Result<JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).map_err(|error| Fault::new(error.to_string()))
}
