//! A Vision Transformer as ONNX operators. Names are timm's with the operation
//! appended; shapes and formulas are those of `crate::vit`.

use super::graph::{Attribute, Graph, Value};
use crate::export::Exporter;
use crate::export::tensors::{LazyTensor, ModelTensors};
use crate::vit::{Activation, FinalNorm, Pooling, Positions, QkvBias, VitConfig, rotary_tables};

/// What the graph computes, in the type of the model's weights.
pub(super) struct Outputs {
    /// `[N, T, D]` after the final norm.
    pub(super) features: Value,
    /// `[N, D]`.
    pub(super) pooled: Value,
    /// `[N, classes]`.
    pub(super) logits: Option<Value>,
}

/// Builds the graph from `image` `[N, 3, H, W]`.
pub(super) fn build<'a>(graph: &mut Graph<'a>, exporter: &'a Exporter<'_>, image: &str) -> Outputs {
    let mut network = Network { graph, weights: &exporter.weights, config: exporter.config };
    network.outputs(image)
}

/// What rotary positions multiply with.
struct Rotation {
    /// Cosines and sines `[T, head_dim]`; prefix tokens are not rotated.
    cos: Value,
    sin: Value,
    /// `[head_dim, head_dim]`, which gives each channel its partner, the first of a pair
    /// negated, where neighbours are pairs. The product is exact with ones and zeros.
    swap: Option<Value>,
}

struct Network<'g, 'a> {
    graph: &'g mut Graph<'a>,
    weights: &'a ModelTensors,
    config: &'a VitConfig,
}

impl<'a> Network<'_, 'a> {
    fn outputs(&mut self, image: &str) -> Outputs {
        let mut x = self.embed(image);
        if self.config.pre_norm {
            x = self.norm("norm_pre", &x);
        }
        let rotation = self.rotary();
        for block in 0..self.config.depth {
            x = self.block(&format!("blocks.{block}"), x, rotation.as_ref());
        }
        let features = match self.config.final_norm {
            FinalNorm::Tokens => self.norm("norm", &x),
            _ => x,
        };
        let mut pooled = self.pool(&features);
        if self.config.final_norm == FinalNorm::Pooled {
            pooled = self.norm("fc_norm", &pooled);
        }
        let logits = (self.config.num_classes > 0).then(|| self.linear("head", &pooled));
        Outputs { features, pooled, logits }
    }

    /// The tokens entering the norm before block 0, or block 0.
    fn embed(&mut self, image: &str) -> Value {
        let (config, weights) = (self.config, self.weights);
        let (dim, patch) = (config.embed_dim as i64, config.patch_size as i64);
        let projection = "patch_embed.proj";
        let weight = format!("{projection}.weight");
        let kernel = self.graph.weight(&weight, weights.copy(&weight));
        let mut inputs = vec![image.to_owned(), kernel];
        let bias = format!("{projection}.bias");
        if weights.has(&bias) {
            inputs.push(self.graph.weight(&bias, weights.copy(&bias)));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let sides = [
            Attribute::Ints("kernel_shape", vec![patch; 2]),
            Attribute::Ints("strides", vec![patch; 2]),
        ];
        let maps = self.graph.node("Conv", "patch_embed.conv", &inputs, &sides);
        let shape = self.graph.integers("patch_embed.shape", &[0, dim, -1]);
        let flat = self.graph.node("Reshape", "patch_embed.flat", &[&maps, &shape], &[]);
        let axes = [Attribute::Ints("perm", vec![0, 2, 1])];
        let mut patches = self.graph.node("Transpose", "patch_embed.tokens", &[&flat], &axes);
        if weights.has("pos_embed") {
            let positions = self.graph.weight("pos_embed.patches", self.positions(false));
            patches = self.graph.node("Add", "patch_embed.placed", &[&patches, &positions], &[]);
        }
        let count = config.prefix_tokens();
        if count == 0 {
            return patches;
        }
        let prefix = self.graph.weight("prefix", self.prefix());
        let batch = [Attribute::Int("start", 0), Attribute::Int("end", 1)];
        let batch = self.graph.node("Shape", "batch", &[image], &batch);
        let rest = self.graph.integers("prefix.rest", &[count as i64, dim]);
        let first = [Attribute::Int("axis", 0)];
        let shape = self.graph.node("Concat", "prefix.shape", &[&batch, &rest], &first);
        let prefix = self.graph.node("Expand", "prefix.expanded", &[&prefix, &shape], &[]);
        let second = [Attribute::Int("axis", 1)];
        self.graph.node("Concat", "embed", &[&prefix, &patches], &second)
    }

    /// The learned positions of the prefix tokens or of the patches, `[1, n, D]`.
    fn positions(&self, of_prefix: bool) -> LazyTensor<'a> {
        let (config, weights) = (self.config, self.weights);
        let (dim, patches) = (config.embed_dim, config.patches());
        let prefix = if config.no_embed_class { 0 } else { config.prefix_tokens() };
        let rows = if of_prefix { 0..prefix } else { prefix..prefix + patches };
        let shape = vec![1, rows.len(), dim];
        LazyTensor::new(shape, move || {
            Ok(weights.read("pos_embed")?[rows.start * dim..rows.end * dim].to_vec())
        })
    }

    /// Class and register tokens with their positions, `[1, R, D]`.
    fn prefix(&self) -> LazyTensor<'a> {
        let (config, weights) = (self.config, self.weights);
        let dim = config.embed_dim;
        let mut tokens = Vec::new();
        for (name, count) in
            [("cls_token", usize::from(config.class_token)), ("reg_token", config.reg_tokens)]
        {
            if count > 0 {
                tokens.push(weights.shaped(name, vec![count, dim]));
            }
        }
        let tokens = LazyTensor::stacked(tokens).reshaped(vec![1, config.prefix_tokens(), dim]);
        match weights.has("pos_embed") && !config.no_embed_class {
            true => tokens.plus(self.positions(true)),
            false => tokens,
        }
    }

    fn rotary(&mut self) -> Option<Rotation> {
        let config = self.config;
        if !config.positions.is_rotary() {
            return None;
        }
        let head_dim = config.embed_dim / config.num_heads;
        let prefix = config.prefix_tokens() * head_dim;
        let shape = vec![config.tokens(), head_dim];
        let table = move |sines: bool| {
            let (sin, cos) = rotary_tables(config.positions, head_dim, config.grid());
            let (start, angles) = if sines { (0.0, sin) } else { (1.0, cos) };
            let mut values = vec![start; prefix];
            values.extend(angles);
            Ok(values)
        };
        let cos = LazyTensor::new(shape.clone(), move || table(false));
        let sin = LazyTensor::new(shape, move || table(true));
        let swap = LazyTensor::new(vec![head_dim, head_dim], move || {
            let mut values = vec![0.0; head_dim * head_dim];
            for left in (0..head_dim).step_by(2) {
                values[(left + 1) * head_dim + left] = -1.0;
                values[left * head_dim + left + 1] = 1.0;
            }
            Ok(values)
        });
        let neighbours = matches!(config.positions, Positions::LearnedAndRotary { .. });
        Some(Rotation {
            cos: self.graph.weight("rope.cos", cos),
            sin: self.graph.weight("rope.sin", sin),
            swap: neighbours.then(|| self.graph.weight("rope.swap", swap)),
        })
    }

    fn block(&mut self, name: &str, x: Value, rotation: Option<&Rotation>) -> Value {
        let normed = self.norm(&format!("{name}.norm1"), &x);
        let branch = self.attention(&format!("{name}.attn"), &normed, rotation);
        let branch = self.scaled(name, 1, branch);
        let x = self.graph.node("Add", format!("{name}.attended"), &[&x, &branch], &[]);
        let normed = self.norm(&format!("{name}.norm2"), &x);
        let branch = self.mlp(&format!("{name}.mlp"), &normed);
        let branch = self.scaled(name, 2, branch);
        self.graph.node("Add", format!("{name}.out"), &[&x, &branch], &[])
    }

    /// LayerScale, where the block has it.
    fn scaled(&mut self, block: &str, branch: usize, x: Value) -> Value {
        let names = [format!("{block}.ls{branch}.gamma"), format!("{block}.gamma_{branch}")];
        let Some(name) = names.iter().find(|name| self.weights.has(name)) else { return x };
        let gain = self.graph.weight(name, self.weights.copy(name));
        self.graph.node("Mul", format!("{block}.ls{branch}.out"), &[&x, &gain], &[])
    }

    fn attention(&mut self, name: &str, x: &str, rotation: Option<&Rotation>) -> Value {
        let (dim, heads) = (self.config.embed_dim, self.config.num_heads);
        let weight = format!("{name}.qkv.weight");
        let fused = self.graph.weight(&weight, self.weights.transposed(&weight));
        let mut qkv = self.graph.node("MatMul", format!("{name}.qkv"), &[x, &fused], &[]);
        if let Some(bias) = self.qkv_bias(name) {
            let bias = self.graph.weight(&format!("{name}.qkv.bias"), bias);
            qkv = self.graph.node("Add", format!("{name}.qkv.biased"), &[&qkv, &bias], &[]);
        }
        let [query, key, value] = self.graph.split(&format!("{name}.split"), &qkv, dim);
        let [mut query, mut key, value] = [("q", query), ("k", key), ("v", value)]
            .map(|(part, values)| self.heads(&format!("{name}.{part}"), &values, heads));
        if let Some(rotation) = rotation {
            query = self.turned(&format!("{name}.q"), &query, rotation);
            key = self.turned(&format!("{name}.k"), &key, rotation);
        }
        let mut mixed = self.attend(name, &query, &key, &value, heads);
        if self.config.scale_attn_inner {
            mixed = self.norm(&format!("{name}.norm"), &mixed);
        }
        self.linear(&format!("{name}.proj"), &mixed)
    }

    /// `[3 D]`, where any of queries, keys and values has a bias.
    fn qkv_bias(&self, name: &str) -> Option<LazyTensor<'a>> {
        let (weights, dim) = (self.weights, self.config.embed_dim);
        match self.config.qkv_bias {
            QkvBias::All => Some(weights.copy(&format!("{name}.qkv.bias"))),
            QkvBias::None => None,
            QkvBias::QueryValue => Some(LazyTensor::stacked(vec![
                weights.copy(&format!("{name}.q_bias")),
                LazyTensor::zeros(vec![dim]),
                weights.copy(&format!("{name}.v_bias")),
            ])),
        }
    }

    /// `[N, n, D] -> [N, heads, n, head_dim]`.
    fn heads(&mut self, name: &str, x: &str, heads: usize) -> Value {
        let shape = [0, -1, heads as i64, (self.config.embed_dim / heads) as i64];
        let shape = self.graph.integers(&format!("heads_{heads}.shape"), &shape);
        let apart = self.graph.node("Reshape", format!("{name}.apart"), &[x, &shape], &[]);
        let axes = [Attribute::Ints("perm", vec![0, 2, 1, 3])];
        self.graph.node("Transpose", format!("{name}.heads"), &[&apart], &axes)
    }

    /// Rotary positions, `x cos + swap(x) sin`.
    fn turned(&mut self, name: &str, x: &str, rotation: &Rotation) -> Value {
        let Rotation { cos, sin, swap } = rotation;
        let part = |part: &str| format!("{name}.{part}");
        let swapped = match swap {
            Some(swap) => self.graph.node("MatMul", part("swapped"), &[x, swap], &[]),
            None => {
                let half = self.config.embed_dim / self.config.num_heads / 2;
                let [left, right] = self.graph.split(&part("halves"), x, half);
                let right = self.graph.node("Neg", part("negated"), &[&right], &[]);
                let last = [Attribute::Int("axis", -1)];
                self.graph.node("Concat", part("swapped"), &[&right, &left], &last)
            }
        };
        let straight = self.graph.node("Mul", part("cos"), &[x, cos], &[]);
        let across = self.graph.node("Mul", part("sin"), &[&swapped, sin], &[]);
        self.graph.node("Add", part("turned"), &[&straight, &across], &[])
    }

    /// `softmax(q kᵀ / √head_dim) v`, the heads side by side: `[N, n, D]`.
    fn attend(&mut self, name: &str, query: &str, key: &str, value: &str, heads: usize) -> Value {
        let head_dim = self.config.embed_dim / heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let scale = self.graph.scalar(&format!("attention_{heads}.scale"), scale);
        // Before the product, where half precision has more room.
        let query = self.graph.node("Mul", format!("{name}.q.scaled"), &[query, &scale], &[]);
        let axes = [Attribute::Ints("perm", vec![0, 1, 3, 2])];
        let key = self.graph.node("Transpose", format!("{name}.k.across"), &[key], &axes);
        let scores = self.graph.node("MatMul", format!("{name}.scores"), &[&query, &key], &[]);
        let last = [Attribute::Int("axis", -1)];
        let shares = self.graph.node("Softmax", format!("{name}.softmax"), &[&scores], &last);
        let mixed = self.graph.node("MatMul", format!("{name}.mixed"), &[&shares, value], &[]);
        let axes = [Attribute::Ints("perm", vec![0, 2, 1, 3])];
        let mixed = self.graph.node("Transpose", format!("{name}.tokens"), &[&mixed], &axes);
        let dim = self.config.embed_dim as i64;
        let shape = self.graph.integers("tokens.shape", &[0, -1, dim]);
        self.graph.node("Reshape", format!("{name}.merged"), &[&mixed, &shape], &[])
    }

    fn mlp(&mut self, name: &str, x: &str) -> Value {
        let hidden = self.weights.shape(&format!("{name}.fc1.weight"))[0];
        let x = self.linear(&format!("{name}.fc1"), x);
        let act = format!("{name}.act");
        let x = match self.config.mlp {
            Activation::Gelu => self.gelu(&act, &x),
            Activation::GeluTanh => self.gelu_tanh(&act, &x),
            Activation::QuickGelu => {
                let slope = self.graph.scalar("quick_gelu.slope", 1.702);
                let steep = self.graph.node("Mul", format!("{act}.steep"), &[&x, &slope], &[]);
                self.gated(&act, &steep, &x)
            }
            Activation::Swiglu => {
                let [gate, value] = self.graph.split(&format!("{act}.split"), &x, hidden / 2);
                let gate = self.gated(&format!("{act}.silu"), &gate, &gate);
                self.graph.node("Mul", &act, &[&gate, &value], &[])
            }
        };
        let x = match self.config.scale_mlp {
            true => self.norm(&format!("{name}.norm"), &x),
            false => x,
        };
        self.linear(&format!("{name}.fc2"), &x)
    }

    /// `x (1 + erf(x / √2)) / 2`, in the order of operators that runtimes fuse.
    fn gelu(&mut self, name: &str, x: &str) -> Value {
        let root = self.graph.scalar("gelu.root", std::f32::consts::SQRT_2);
        let (one, half) = (self.graph.scalar("one", 1.0), self.graph.scalar("half", 0.5));
        let scaled = self.graph.node("Div", format!("{name}.scaled"), &[x, &root], &[]);
        let erf = self.graph.node("Erf", format!("{name}.erf"), &[&scaled], &[]);
        let sum = self.graph.node("Add", format!("{name}.sum"), &[&erf, &one], &[]);
        let product = self.graph.node("Mul", format!("{name}.product"), &[x, &sum], &[]);
        self.graph.node("Mul", name, &[&product, &half], &[])
    }

    /// `x (1 + tanh(√(2/π) x (1 + 0.044715 x²))) / 2`: an overflow of the square
    /// ends at the right limit, where one of the cube's would not.
    fn gelu_tanh(&mut self, name: &str, x: &str) -> Value {
        let root = (2.0 / std::f32::consts::PI).sqrt();
        let root = self.graph.scalar("gelu_tanh.root", root);
        let cubic = self.graph.scalar("gelu_tanh.cubic", 0.044_715);
        let (one, half) = (self.graph.scalar("one", 1.0), self.graph.scalar("half", 0.5));
        let mut node = |operator: &str, part: &str, inputs: &[&str]| {
            self.graph.node(operator, format!("{name}.{part}"), inputs, &[])
        };
        let square = node("Mul", "square", &[x, x]);
        let bent = node("Mul", "bent", &[&square, &cubic]);
        let bent = node("Add", "bent_1", &[&bent, &one]);
        let scaled = node("Mul", "scaled", &[x, &root]);
        let angle = node("Mul", "angle", &[&scaled, &bent]);
        let tanh = node("Tanh", "tanh", &[&angle]);
        let sum = node("Add", "sum", &[&tanh, &one]);
        let halved = node("Mul", "halved", &[x, &half]);
        self.graph.node("Mul", name, &[&halved, &sum], &[])
    }

    /// `sigmoid(gate) x`.
    fn gated(&mut self, name: &str, gate: &str, x: &str) -> Value {
        let gate = self.graph.node("Sigmoid", format!("{name}.sigmoid"), &[gate], &[]);
        self.graph.node("Mul", name, &[x, &gate], &[])
    }

    /// `[.., in] -> [.., out]`, with the layer's bias.
    fn linear(&mut self, name: &str, x: &str) -> Value {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let matrix = self.graph.weight(&weight, self.weights.transposed(&weight));
        let product = self.graph.node("MatMul", format!("{name}.product"), &[x, &matrix], &[]);
        let bias = self.graph.weight(&bias, self.weights.copy(&bias));
        self.graph.node("Add", name, &[&product, &bias], &[])
    }

    fn norm(&mut self, name: &str, x: &str) -> Value {
        let [weight, bias] = ["weight", "bias"].map(|end| {
            let name = format!("{name}.{end}");
            self.graph.weight(&name, self.weights.copy(&name))
        });
        let epsilon = Attribute::Float("epsilon", self.config.norm_eps as f32);
        let attributes = [Attribute::Int("axis", -1), epsilon];
        self.graph.node("LayerNormalization", name, &[x, &weight, &bias], &attributes)
    }

    /// `[N, T, D] -> [N, D]`.
    fn pool(&mut self, features: &str) -> Value {
        match self.config.pooling {
            Pooling::Attention => self.attention_pool(features),
            Pooling::Token => {
                let first = self.graph.index("pool.first", 0);
                let axis = [Attribute::Int("axis", 1)];
                self.graph.node("Gather", "pool", &[features, &first], &axis)
            }
            Pooling::Mean => {
                let prefix = self.config.prefix_tokens() as i64;
                let from = self.graph.integers("pool.from", &[prefix]);
                let to = self.graph.integers("pool.to", &[self.config.tokens() as i64]);
                let axis = self.graph.integers("pool.axis", &[1]);
                let inputs = [features, &from, &to, &axis];
                let patches = self.graph.node("Slice", "pool.patches", &inputs, &[]);
                let mean = [Attribute::Ints("axes", vec![1]), Attribute::Int("keepdims", 0)];
                self.graph.node("ReduceMean", "pool", &[&patches], &mean)
            }
        }
    }

    /// The query of the attention pool after its projection, `[1, heads, 1,
    /// head_dim]`: the same for every image.
    fn pool_query(&self) -> LazyTensor<'a> {
        let (weights, dim) = (self.weights, self.config.embed_dim);
        let (heads, _) = self.config.attn_pool_shape();
        LazyTensor::new(vec![1, heads, 1, dim / heads], move || {
            let latent = weights.read("attn_pool.latent")?;
            let (matrix, bias) =
                (weights.read("attn_pool.q.weight")?, weights.read("attn_pool.q.bias")?);
            let product = |row: &[f32]| -> f64 {
                row.iter().zip(&latent).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let rows = matrix.chunks(dim).zip(bias);
            Ok(rows.map(|(row, bias)| (product(row) + f64::from(bias)) as f32).collect())
        })
    }

    fn attention_pool(&mut self, features: &str) -> Value {
        let name = "attn_pool";
        let query = self.graph.weight(&format!("{name}.query"), self.pool_query());
        let kv = self.linear(&format!("{name}.kv"), features);
        let [key, value] = self.graph.split(&format!("{name}.split"), &kv, self.config.embed_dim);
        let (heads, _) = self.config.attn_pool_shape();
        let key = self.heads(&format!("{name}.key"), &key, heads);
        let value = self.heads(&format!("{name}.value"), &value, heads);
        let mixed = self.attend(name, &query, &key, &value, heads);
        let x = self.linear(&format!("{name}.proj"), &mixed);
        let normed = self.norm(&format!("{name}.norm"), &x);
        let branch = self.mlp(&format!("{name}.mlp"), &normed);
        let x = self.graph.node("Add", format!("{name}.out"), &[&x, &branch], &[]);
        let first = self.graph.index("pool.first", 0);
        let axis = [Attribute::Int("axis", 1)];
        self.graph.node("Gather", "pool", &[&x, &first], &axis)
    }
}
