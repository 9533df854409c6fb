//! How the teacher's features are refined: a closed form, trained adapters, and their files.

use js_sys::{Array, Function, Object, Uint8Array};
use serde::Deserialize;
use singer::refine::{Adapters, PartsFile};
use singer::weights::WeightsFile;
use wasm_bindgen::prelude::*;

use super::{Singer, from_value, no_teacher};
use crate::closed::{Found, estimate};
use crate::error::{Fault, Result};
use crate::fit::{Fit, FitSettings};
use crate::model::bytes_of;
use crate::numbers::{plain, set};
use crate::picture::all_from_js;

/// `EstimateSettings` of types.d.ts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EstimateSettings {
    side: usize,
}

#[wasm_bindgen]
impl Singer {
    /// Takes the teacher's adapters from the `singer.safetensors` of a fit or a run: a closed
    /// form's or trained ones.
    #[wasm_bindgen(js_name = loadAdapters, unchecked_return_type = "AdapterInfo")]
    pub fn load_adapters(&mut self, name: &str, bytes: &Uint8Array) -> Result<JsValue> {
        let teacher = self.teacher.as_ref().ok_or_else(no_teacher)?;
        let file = PartsFile::new(WeightsFile::from_bytes(name, bytes_of(name, bytes)?)?);
        let (depth, width) = (teacher.vit.depth(), teacher.vit.embed_dim());
        let adapters = file.adapters(self.device.burn())?;
        adapters.check(depth, width).map_err(|error| Fault::new(format!("{name}: {error}")))?;
        let rank = adapters.iter().map(|(_, adapter)| adapter.down.dims()[1]).max();
        let object = Object::new();
        set(&object, "layers", plain(&adapters.layers())?)?;
        set(&object, "rank", rank.unwrap_or(0) as u32)?;
        set(&object, "closed", adapters.is_closed())?;
        self.fit = None;
        self.view = None;
        self.refine_by(adapters);
        Ok(object.into())
    }

    /// Finds the blocks of the teacher that write artifacts, and the refinement in closed form
    /// that takes them out, from these images alone: the adapters of the next `maps`. Where
    /// nothing is found, nothing is refined. `onBlock` hears of each block that is done and of
    /// their number.
    #[wasm_bindgen(unchecked_return_type = "Found")]
    pub async fn estimate(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Image[]")] images: Array,
        #[wasm_bindgen(unchecked_param_type = "EstimateSettings")] settings: JsValue,
        #[wasm_bindgen(
            js_name = onBlock,
            unchecked_optional_param_type = "(done: number, blocks: number) => void"
        )]
        on_block: Option<Function>,
    ) -> Result<JsValue> {
        self.faults.check()?;
        let settings: EstimateSettings = from_value("settings", settings)?;
        let teacher = self.teacher.as_ref().ok_or_else(no_teacher)?;
        let images = all_from_js(&images)?;
        let mut report = |done: usize, blocks: usize| {
            if let Some(listener) = &on_block {
                // What a listener throws is not this call's failure.
                let _ = listener.call2(&JsValue::NULL, &done.into(), &blocks.into());
            }
        };
        let form = estimate(teacher, &images, settings.side, &self.device, &mut report).await?;
        self.faults.check()?;
        let found = plain(&Found::from(&form))?;
        self.fit = None;
        self.view = None;
        self.refine_by(form.adapters);
        Ok(found)
    }

    /// Begins to fit new adapters to the teacher on these images.
    #[wasm_bindgen(js_name = startFit)]
    pub async fn start_fit(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Image[]")] images: Array,
        #[wasm_bindgen(unchecked_param_type = "FitSettings")] settings: JsValue,
    ) -> Result<()> {
        self.faults.check()?;
        let settings: FitSettings = from_value("settings", settings)?;
        let teacher = self.teacher.as_ref().ok_or_else(no_teacher)?;
        let images = all_from_js(&images)?;
        let fit = Fit::new(teacher, &images, settings, &self.device).await?;
        self.refine_by(fit.adapters());
        self.fit = Some(fit);
        self.faults.check()
    }

    /// One step of the fit; its adapters are those of the next `maps`.
    #[wasm_bindgen(js_name = fitStep, unchecked_return_type = "FitStep")]
    pub async fn fit_step(&mut self) -> Result<JsValue> {
        self.faults.check()?;
        let fit = self.fit.as_mut().ok_or_else(|| Fault::new("no fit has begun"))?;
        let done = fit.step().await?;
        let adapters = fit.adapters();
        self.refine_by(adapters);
        self.faults.check()?;
        plain(&done)
    }

    /// The current adapters as a safetensors file, which `loadAdapters` and the
    /// program read. Throws where nothing refines the teacher.
    pub async fn adapters(&self) -> Result<Uint8Array> {
        if self.adapters.layers().is_empty() {
            return Err(Fault::new("there are no adapters to save: nothing refines this teacher"));
        }
        let bytes = self.adapters.to_tensors().await?.to_bytes()?;
        Ok(Uint8Array::from(bytes.as_slice()))
    }
}

impl Singer {
    /// Refines by these adapters from now on.
    fn refine_by(&mut self, adapters: Adapters) {
        self.adapters = adapters;
        if let Some(seen) = &mut self.seen {
            seen.forget_refined();
        }
    }
}
