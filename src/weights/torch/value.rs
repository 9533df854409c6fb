use crate::weights::entry::Element;

/// The place of a value in its pickle.
pub(super) type Id = u32;

/// What a pickle builds.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Int(i64),
    Text(&'a str),
    /// Of a tuple or a list.
    Items(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function by module and name.
    Global(&'a str, &'a str),
    Storage(Storage<'a>),
    Tensor(Tensor<'a>),
    /// Anything that no tensor depends on.
    Other,
}

/// Memory that tensors are views of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) element: Element,
    pub(super) key: &'a str,
    /// In elements.
    pub(super) len: usize,
}

/// A view of a storage, in elements.
#[derive(Debug, Clone)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// A pickle's values. They refer to each other by place, so that neither depth
/// nor sharing costs more than the pickle's own length.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) values: Vec<Value<'a>>,
    pub(super) root: Id,
    /// Bytes that it took.
    pub(super) len: usize,
}

impl<'a> Pickle<'a> {
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }
}

/// The element type of torch's class of storages.
pub(super) fn storage_element(class: &str) -> Option<Element> {
    Some(match class {
        "FloatStorage" => Element::F32,
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::Bf16,
        "DoubleStorage" => Element::F64,
        "LongStorage" => Element::Other("int64", 8),
        "IntStorage" => Element::Other("int32", 4),
        "ShortStorage" => Element::Other("int16", 2),
        "CharStorage" => Element::Other("int8", 1),
        "ByteStorage" => Element::Other("uint8", 1),
        "BoolStorage" => Element::Other("bool", 1),
        "ComplexFloatStorage" => Element::Other("complex64", 8),
        "ComplexDoubleStorage" => Element::Other("complex128", 16),
        _ => return None,
    })
}
