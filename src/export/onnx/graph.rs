use crate::export::protobuf::Message;
use crate::export::tensors::LazyTensor;

/// A value of the graph by its name.
pub(super) type Value = String;

/// What a node is set to besides its inputs.
#[derive(Debug, Clone)]
pub(super) enum Attribute {
    Int(&'static str, i64),
    Ints(&'static str, Vec<i64>),
    Float(&'static str, f32),
}

impl Attribute {
    /// An `AttributeProto`.
    fn message(&self) -> Message {
        const TYPE: u32 = 20;
        let named = |name: &str| Message::default().bytes(1, name);
        match self {
            Self::Float(name, value) => named(name).float(2, *value).integer(TYPE, 1),
            Self::Int(name, value) => named(name).integer(3, *value).integer(TYPE, 2),
            Self::Ints(name, values) => named(name).integers(8, values).integer(TYPE, 7),
        }
    }
}

/// A constant of the graph.
#[derive(Debug)]
pub(super) enum Constant<'a> {
    /// In the type of the model's weights.
    Weight(LazyTensor<'a>),
    /// A shape or an index, `[n]`, or one number where the rank is zero.
    Integers { values: Vec<i64>, scalar: bool },
}

/// A graph in the making: nodes in order and constants by name. Every node has
/// one output except where it says otherwise, which has the node's name.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Message>,
    pub(super) constants: Vec<(String, Constant<'a>)>,
}

impl<'a> Graph<'a> {
    /// Adds a node and gives its output.
    pub(super) fn node(
        &mut self,
        operator: &str,
        name: impl Into<String>,
        inputs: &[&str],
        attributes: &[Attribute],
    ) -> Value {
        let name = name.into();
        self.add(operator, &name, inputs, std::slice::from_ref(&name), attributes);
        name
    }

    /// Splits the last axis into equal parts.
    pub(super) fn split<const N: usize>(
        &mut self,
        name: &str,
        input: &str,
        size: usize,
    ) -> [Value; N] {
        let sizes = self.integers(&format!("sizes_{N}x{size}"), &[size as i64; N]);
        let outputs: [Value; N] = std::array::from_fn(|index| format!("{name}.{index}"));
        self.add("Split", name, &[input, &sizes], &outputs, &[Attribute::Int("axis", -1)]);
        outputs
    }

    /// A `NodeProto`.
    fn add(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[Value],
        attributes: &[Attribute],
    ) {
        let mut node = Message::default();
        for input in inputs {
            node = node.bytes(1, input);
        }
        for output in outputs {
            node = node.bytes(2, output);
        }
        let node = node.bytes(3, name).bytes(4, operator);
        self.nodes.push(node.messages(5, attributes.iter().map(Attribute::message)));
    }

    /// A weight, under its name.
    pub(super) fn weight(&mut self, name: &str, part: LazyTensor<'a>) -> Value {
        self.constants.push((name.to_owned(), Constant::Weight(part)));
        name.to_owned()
    }

    /// One number in the type of the model's weights, shared by all that use its name.
    pub(super) fn scalar(&mut self, name: &str, value: f32) -> Value {
        if !self.has(name) {
            self.weight(name, LazyTensor::new(Vec::new(), move || Ok(vec![value])));
        }
        name.to_owned()
    }

    /// Integers, shared by all that use their name.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> Value {
        self.whole(name, values.to_vec(), false)
    }

    /// One integer without a dimension.
    pub(super) fn index(&mut self, name: &str, value: i64) -> Value {
        self.whole(name, vec![value], true)
    }

    fn whole(&mut self, name: &str, values: Vec<i64>, scalar: bool) -> Value {
        if !self.has(name) {
            self.constants.push((name.to_owned(), Constant::Integers { values, scalar }));
        }
        name.to_owned()
    }

    fn has(&self, name: &str) -> bool {
        self.constants.iter().any(|(known, _)| known == name)
    }
}
