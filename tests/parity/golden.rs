use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use singer::vit::{Activation, Pooling, Positions, QkvBias, Vit, VitConfig};

/// Runs one check on the CPU backend and on a GPU, as two tests.
macro_rules! on_both_devices {
    ($($name:ident),* $(,)?) => {
        mod on_cpu {
            $(#[test] fn $name() { super::$name(&$crate::golden::device("cpu")); })*
        }
        mod on_gpu {
            $(#[test] fn $name() { super::$name($crate::golden::gpu().burn()); })*
        }
    };
}

pub(crate) fn device(name: &str) -> Device {
    singer::Device::open(name).unwrap_or_else(|error| panic!("{error}")).burn().clone()
}

/// Software Vulkan, or what `SINGER_TEST_DEVICE` names, as `--device` takes it.
pub(crate) fn gpu() -> singer::Device {
    let name = std::env::var("SINGER_TEST_DEVICE").unwrap_or_else(|_| "software".to_owned());
    singer::Device::open(&name).unwrap_or_else(|error| panic!("{error}"))
}

/// Where the reference implementation's tensors are.
pub(crate) fn folder() -> PathBuf {
    match std::env::var_os("SINGER_GOLDEN") {
        Some(folder) => folder.into(),
        None => own_folder(),
    }
}

/// Where the tensors are whose scripts are in this repository.
pub(crate) fn own_folder() -> PathBuf {
    PathBuf::from("tests/golden")
}

/// The JSON files of a folder, by file stem; at least one.
pub(crate) fn cases(part: &str) -> Vec<(String, Value)> {
    let folder = folder().join(part);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut cases: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), json(&path)))
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!cases.is_empty(), "{} holds no case", folder.display());
    cases
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
}

/// A file of golden tensors.
pub(crate) struct Golden(BTreeMap<String, TensorData>);

impl Golden {
    pub(crate) fn open(part: &str) -> Self {
        Self::read(&folder().join(format!("{part}.safetensors")))
    }

    pub(crate) fn own(part: &str) -> Self {
        Self::read(&own_folder().join(format!("{part}.safetensors")))
    }

    /// Masks of bytes are read as f32.
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |(name, view): (String, TensorView<'_>)| {
            let (data, shape) = (view.data(), view.shape().to_vec());
            let tensor = match view.dtype() {
                Dtype::F32 => TensorData::new(numbers(data, f32::from_le_bytes), shape),
                Dtype::F64 => TensorData::new(numbers(data, f64::from_le_bytes), shape),
                Dtype::U8 | Dtype::BOOL => {
                    TensorData::new(numbers(data, |[byte]| f32::from(byte)), shape)
                }
                other => panic!("{}: {name} is of {other}", path.display()),
            };
            (name, tensor)
        };
        Self(file.tensors().into_iter().map(tensor).collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn data(&self, name: &str) -> &TensorData {
        self.0.get(name).unwrap_or_else(|| panic!("no golden tensor {name}"))
    }

    pub(crate) fn values(&self, name: &str) -> Vec<f64> {
        self.data(name).iter::<f64>().collect()
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        Tensor::from_data(self.data(name).clone(), device)
    }

    /// Every element within `tolerance` of the golden tensor; gives the largest difference.
    pub(crate) fn assert_close<const D: usize>(
        &self,
        name: &str,
        ours: Tensor<D>,
        tolerance: f64,
    ) -> f64 {
        let ours = ours.into_data();
        assert_eq!(ours.shape().as_slice(), self.data(name).shape().as_slice(), "shape of {name}");
        let worst = ours
            .iter::<f64>()
            .zip(self.values(name))
            .map(|(a, b)| if (a - b).is_nan() { f64::INFINITY } else { (a - b).abs() })
            .fold(0.0, f64::max);
        assert!(worst <= tolerance, "{name} differs by {worst:.3e}, more than {tolerance:.0e}");
        worst
    }

    /// Relative difference in L2 norm within `tolerance`; gives it.
    pub(crate) fn assert_relative(&self, name: &str, ours: &[f64], tolerance: f64) -> f64 {
        let golden = self.values(name);
        assert_eq!(ours.len(), golden.len(), "size of {name}");
        let difference: f64 = ours.iter().zip(&golden).map(|(a, b)| (a - b).powi(2)).sum();
        let norm: f64 = golden.iter().map(|b| b * b).sum();
        let relative = (difference / norm.max(1e-30)).sqrt();
        assert!(relative <= tolerance, "{name} differs by {relative:.3e} relative");
        relative
    }
}

/// The shape of a ViT, from its weights and, for what they do not show, its JSON.
pub(crate) fn vit_config(weights: &Golden, json: &Value, img_size: [usize; 2]) -> VitConfig {
    let shape = |name: &str| weights.data(name).shape().to_vec();
    let embed_dim = shape("patch_embed.proj.weight")[0];
    let patch_size = shape("patch_embed.proj.weight")[2];
    let patches = img_size.iter().product::<usize>() / patch_size.pow(2);
    let rotary = !weights.has("pos_embed");
    let family = json["family"].as_str().unwrap_or_default();
    let depth = (0..).take_while(|i| weights.has(&format!("blocks.{i}.norm1.weight"))).count();
    let config = VitConfig {
        img_size,
        patch_size,
        embed_dim,
        depth,
        num_heads: json["num_heads"].as_u64().expect("num_heads in the JSON") as usize,
        mlp_ratio: shape("blocks.0.mlp.fc1.weight")[0] as f64 / embed_dim as f64,
        num_classes: if weights.has("head.weight") { shape("head.weight")[0] } else { 0 },
        reg_tokens: if weights.has("reg_token") { shape("reg_token")[1] } else { 0 },
        no_embed_class: weights.has("cls_token") && !rotary && shape("pos_embed")[1] == patches,
        init_values: ["blocks.0.ls1.gamma", "blocks.0.gamma_1"]
            .iter()
            .any(|name| weights.has(name))
            .then_some(1e-6),
        norm_eps: json["norm_eps"].as_f64().unwrap_or(if rotary { 1e-5 } else { 1e-6 }),
        class_token: weights.has("cls_token"),
        pre_norm: weights.has("norm_pre.weight"),
        mlp: match family {
            "clip_openai" => Activation::QuickGelu,
            "dinov2_swiglu" => Activation::Swiglu,
            _ => Activation::Gelu,
        },
        qkv_bias: match (weights.has("blocks.0.attn.qkv.bias"), weights.has("blocks.0.attn.q_bias"))
        {
            (true, _) => QkvBias::All,
            (false, true) => QkvBias::QueryValue,
            (false, false) => QkvBias::None,
        },
        positions: match json["rope_temperature"].as_f64() {
            Some(temperature) => Positions::Rotary { temperature },
            None => Positions::Learned,
        },
        pooling: match family {
            "siglip" => Pooling::Attention,
            _ if rotary => Pooling::Mean,
            _ => Pooling::Token,
        },
        ..VitConfig::default()
    };
    // What the JSON states in the configuration's own terms.
    let mut fields = serde_json::to_value(config).unwrap();
    for (name, value) in json["config"].as_object().into_iter().flatten() {
        fields[name] = value.clone();
    }
    serde_json::from_value(fields).unwrap()
}

pub(crate) fn load_vit(part: &str, config: &VitConfig, device: &Device) -> Vit {
    let path = folder().join(format!("{part}.safetensors"));
    singer::weights::load(&path, part, config, device).unwrap_or_else(|error| panic!("{error}"))
}

/// A module's parameters or their gradients under timm's names, in PyTorch's layout.
pub(crate) fn by_timm_name<M: Module>(
    module: &M,
    grads: Option<&GradientsParams>,
) -> BTreeMap<String, Vec<f64>> {
    let mut visitor =
        ByName { grads, found: BTreeMap::new(), path: Vec::new(), linear: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

struct ByName<'a> {
    grads: Option<&'a GradientsParams>,
    found: BTreeMap<String, Vec<f64>>,
    path: Vec<String>,
    linear: Vec<bool>,
}

impl ModuleVisitor for ByName<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_owned());
        self.linear.push(container.ends_with(":Linear"));
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
        self.linear.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = match self.grads {
            Some(grads) => grads.get::<D>(param.id),
            None => Some(param.val().inner()),
        };
        let Some(mut value) = value else { return };
        if D == 2 && self.linear.last() == Some(&true) {
            value = value.swap_dims(0, 1);
        }
        let name = self.path.join(".").replace(".gamma", ".weight").replace(".beta", ".bias");
        let name = if name.contains("ls") { name.replace(".weight", ".gamma") } else { name };
        self.found.insert(name, value.into_data().iter::<f64>().collect());
    }
}
