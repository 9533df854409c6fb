use std::any::Any;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdamW, AdamWConfig, GradientsParams, Optimizer, RecordState, Sgd, SgdConfig, StateSink,
    StateSource,
};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
#[cfg(not(target_family = "wasm"))]
use crate::readback::read;

/// The optimiser and its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerSettings {
    /// AdamW as in PyTorch; decay applies to every trained parameter.
    Adamw {
        /// Highest learning rate.
        #[serde(default = "default_lr")]
        lr: f64,
        /// Decay of the two moments.
        #[serde(default = "default_betas")]
        betas: [f32; 2],
        /// Added to the denominator.
        #[serde(default = "default_eps")]
        eps: f32,
        /// Decoupled weight decay.
        #[serde(default = "default_decay")]
        weight_decay: f32,
    },
    /// Stochastic gradient descent with momentum as in PyTorch.
    Sgd {
        /// Highest learning rate.
        lr: f64,
        /// Momentum, 0 for none.
        #[serde(default)]
        momentum: f64,
        /// L2 penalty.
        #[serde(default)]
        weight_decay: f32,
    },
}

fn default_lr() -> f64 {
    1e-3
}

fn default_betas() -> [f32; 2] {
    [0.9, 0.999]
}

fn default_eps() -> f32 {
    1e-8
}

fn default_decay() -> f32 {
    1e-4
}

impl Default for OptimizerSettings {
    /// The paper's AdamW.
    fn default() -> Self {
        Self::Adamw {
            lr: default_lr(),
            betas: default_betas(),
            eps: default_eps(),
            weight_decay: default_decay(),
        }
    }
}

impl OptimizerSettings {
    /// Highest learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Adamw { lr, .. } | Self::Sgd { lr, .. } => *lr,
        }
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Setting`] for a learning rate or a weight decay that is negative or no number.
    pub fn check(&self) -> Result<()> {
        let lr = self.lr();
        if !(lr.is_finite() && lr >= 0.0) {
            return Err(Error::setting("lr", lr, "it must be 0 or more"));
        }
        let (Self::Adamw { weight_decay, .. } | Self::Sgd { weight_decay, .. }) = self;
        match weight_decay.is_finite() && *weight_decay >= 0.0 {
            true => Ok(()),
            false => Err(Error::setting("weight_decay", weight_decay, "it must be 0 or more")),
        }
    }

    /// The same with another highest learning rate.
    pub fn set_lr(&mut self, new: f64) {
        match self {
            Self::Adamw { lr, .. } | Self::Sgd { lr, .. } => *lr = new,
        }
    }
}

/// burn's optimiser for one tensor.
#[derive(Clone)]
enum Rule {
    Adamw(AdamW),
    Sgd(Sgd),
}

impl Rule {
    fn new(settings: &OptimizerSettings) -> Self {
        match *settings {
            OptimizerSettings::Adamw { betas, eps, weight_decay, .. } => Self::Adamw(
                AdamWConfig::new()
                    .with_beta_1(betas[0])
                    .with_beta_2(betas[1])
                    .with_epsilon(eps)
                    .with_weight_decay(weight_decay)
                    .build(),
            ),
            OptimizerSettings::Sgd { momentum, weight_decay, .. } => {
                let momentum = (momentum > 0.0)
                    .then(|| MomentumConfig::new().with_momentum(momentum).with_dampening(0.0));
                let decay = (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay));
                Self::Sgd(SgdConfig::new().with_momentum(momentum).with_weight_decay(decay).build())
            }
        }
    }
}

/// Applies burn's AdamW or SGD to a module, with the state held under the
/// parameters' names.
///
/// burn's own module optimiser keys its state by generated ids and restores it
/// on the process's default device, which may not exist; names survive a
/// restart and need neither.
pub struct ParamOptimizer {
    rule: Rule,
    states: HashMap<String, Box<dyn Any + Send>>,
}

impl ParamOptimizer {
    /// A fresh optimiser.
    pub fn new(settings: &OptimizerSettings) -> Self {
        Self { rule: Rule::new(settings), states: HashMap::new() }
    }

    /// One step. With `clip`, gradients are scaled so that their norm over all
    /// parameters is at most that (PyTorch's `clip_grad_norm_`).
    pub fn step<M: Module>(
        &mut self,
        lr: f64,
        module: M,
        mut grads: GradientsParams,
        clip: Option<f64>,
    ) -> M {
        let factor = clip.and_then(|limit| {
            let norm = gradient_norm(&module, &grads)?;
            Some((norm + 1e-6).recip().mul_scalar(limit).clamp_max(1.0))
        });
        self.update(lr, module, &mut grads, factor)
    }

    /// One step with the gradients of `scale` times the loss, a power of two; false, and
    /// nothing changes, where one of them is not finite.
    ///
    /// Their norm is read from the device, which a host that launches ahead has to wait for.
    /// The alternative, to hold back each tensor's step by a flag on the device, would cost
    /// three more passes over weights and moments in every step, and could not hold back the
    /// number of steps by which AdamW corrects its moments.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    #[cfg(not(target_family = "wasm"))]
    pub fn step_scaled<M: Module>(
        &mut self,
        lr: f64,
        module: M,
        mut grads: GradientsParams,
        clip: Option<f64>,
        scale: f32,
    ) -> Result<(M, bool)> {
        let Some(norm) = gradient_norm(&module, &grads) else { return Ok((module, true)) };
        let device = norm.device();
        let norm = read(norm)?.into_iter().next().unwrap_or(f32::NAN) / scale;
        if !norm.is_finite() {
            return Ok((module, false));
        }
        let clipped = clip.map_or(1.0, |limit| (limit as f32 / (norm + 1e-6)).min(1.0));
        let factor = Tensor::from_data([clipped / scale], &device);
        Ok((self.update(lr, module, &mut grads, Some(factor)), true))
    }

    /// A step with the gradients times `factor`, `[1]`.
    fn update<M: Module>(
        &mut self,
        lr: f64,
        module: M,
        grads: &mut GradientsParams,
        factor: Option<Tensor<1>>,
    ) -> M {
        module.map(&mut Update { optimizer: self, lr, grads, factor, path: Vec::new() })
    }

    /// One step of a single tensor without a graph, whose state is kept under `name`.
    pub fn step_tensor<const D: usize>(
        &mut self,
        name: &str,
        lr: f64,
        tensor: Tensor<D>,
        grad: Tensor<D>,
    ) -> Tensor<D> {
        let mut slot = self.states.remove(name);
        let updated = match &self.rule {
            Rule::Adamw(rule) => advance(rule, &mut slot, lr, tensor, grad),
            Rule::Sgd(rule) => advance(rule, &mut slot, lr, tensor, grad),
        };
        if let Some(state) = slot {
            self.states.insert(name.to_owned(), state);
        }
        updated
    }

    /// The state as named tensors.
    pub fn to_tensors<M: Module>(&self, module: &M) -> Vec<(String, TensorData)> {
        let mut visitor = Collect { optimizer: self, sink: StateSink::default(), path: Vec::new() };
        module.visit(&mut visitor);
        let scalars = visitor.sink.scalars.into_iter().filter_map(|(name, value)| {
            let value = usize::try_from(value).ok()?;
            // f64 holds every step count exactly.
            Some((name, TensorData::new(vec![value as f64], [1])))
        });
        visitor.sink.tensors.into_iter().chain(scalars).collect()
    }

    /// Restores what [`to_tensors`](Self::to_tensors) gave.
    pub fn load_tensors<M: Module>(
        &mut self,
        module: &M,
        tensors: impl IntoIterator<Item = (String, TensorData)>,
        device: &Device,
    ) {
        let mut scalars = std::collections::BTreeMap::new();
        let mut kept = Vec::new();
        for (name, data) in tensors {
            if data.dtype() == burn::tensor::DType::F64 {
                let value = data.iter::<f64>().next().unwrap_or_default();
                scalars.insert(name, (value as usize).into());
            } else {
                kept.push((name, data));
            }
        }
        let mut source = StateSource::new(scalars);
        for (name, data) in kept {
            source.insert_tensor(name, data);
        }
        module.visit(&mut Restore { optimizer: self, source, device, path: Vec::new() });
    }
}

fn advance<O: Optimizer, const D: usize>(
    rule: &O,
    slot: &mut Option<Box<dyn Any + Send>>,
    lr: f64,
    tensor: Tensor<D>,
    grad: Tensor<D>,
) -> Tensor<D> {
    let state = slot.take().and_then(|state| state.downcast::<O::State<D>>().ok()).map(|s| *s);
    let (tensor, state) = rule.step(lr, tensor, grad, state);
    *slot = state.map(|state| Box::new(state) as Box<dyn Any + Send>);
    tensor
}

/// The norm of all gradients together, `[1]`; none without gradients.
fn gradient_norm<M: Module>(module: &M, grads: &GradientsParams) -> Option<Tensor<1>> {
    let mut norm = GradNorm { grads, sum: None };
    module.visit(&mut norm);
    norm.sum.map(Tensor::sqrt)
}

struct GradNorm<'a> {
    grads: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for GradNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            let square = grad.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

struct Update<'a> {
    optimizer: &'a mut ParamOptimizer,
    lr: f64,
    grads: &'a mut GradientsParams,
    factor: Option<Tensor<1>>,
    path: Vec<String>,
}

impl ModuleMapper for Update<'_> {
    track_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(mut grad) = self.grads.remove::<D>(param.id) else {
            return param;
        };
        if let Some(factor) = &self.factor {
            grad = grad * factor.clone().reshape([1; D]);
        }
        let name = self.path.join(".");
        param.map(|tensor| {
            let updated = self.optimizer.step_tensor(&name, self.lr, tensor.inner(), grad);
            Tensor::from_inner(updated).require_grad()
        })
    }
}

struct Collect<'a> {
    optimizer: &'a ParamOptimizer,
    sink: StateSink,
    path: Vec<String>,
}

impl ModuleVisitor for Collect<'_> {
    track_path!();

    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        let Some(state) = self.optimizer.states.get(&name) else {
            return;
        };
        match &self.optimizer.rule {
            Rule::Adamw(_) => flatten::<AdamW, D>(state.as_ref(), &name, &mut self.sink),
            Rule::Sgd(_) => flatten::<Sgd, D>(state.as_ref(), &name, &mut self.sink),
        }
    }
}

fn flatten<O: Optimizer, const D: usize>(state: &dyn Any, name: &str, sink: &mut StateSink) {
    if let Some(state) = state.downcast_ref::<O::State<D>>() {
        state.state_flatten(name, sink);
    }
}

struct Restore<'a> {
    optimizer: &'a mut ParamOptimizer,
    source: StateSource,
    device: &'a Device,
    path: Vec<String>,
}

impl ModuleVisitor for Restore<'_> {
    track_path!();

    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        if !self.source.has_under(&name) {
            return;
        }
        let (source, device) = (&mut self.source, self.device);
        let state = match &self.optimizer.rule {
            Rule::Adamw(_) => unflatten::<AdamW, D>(&name, source, device),
            Rule::Sgd(_) => unflatten::<Sgd, D>(&name, source, device),
        };
        if let Some(state) = state {
            self.optimizer.states.insert(name, state);
        }
    }
}

fn unflatten<O: Optimizer, const D: usize>(
    name: &str,
    source: &mut StateSource,
    device: &Device,
) -> Option<Box<dyn Any + Send>> {
    let state = O::State::<D>::state_unflatten(name, source, device)?;
    Some(Box::new(state))
}
