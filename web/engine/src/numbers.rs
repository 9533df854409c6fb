use js_sys::{Float32Array, Object, Reflect};
use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::error::{Fault, Result};

/// How long a stage took until its results were there.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    pub stage: &'static str,
    pub ms: f64,
}

/// Milliseconds since some moment.
pub fn now() -> f64 {
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
