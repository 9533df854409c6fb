use std::collections::HashMap;

use super::value::{Id, Pickle, Storage, Tensor, Value, storage_element};

/// Bytes and values beyond which a pickle is not read; that of a ViT-g with its
/// optimiser's state takes a tenth.
const MAX_LEN: usize = 8 << 20;
const MAX_VALUES: usize = 1 << 19;

/// Constructors whose objects no tensor depends on: they are read over.
const HARMLESS: [(&str, &str); 17] = [
    ("__builtin__", "object"),
    ("__builtin__", "set"),
    ("_codecs", "encode"),
    ("argparse", "Namespace"),
    ("builtins", "object"),
    ("builtins", "set"),
    ("copy_reg", "_reconstructor"),
    ("copyreg", "_reconstructor"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("pathlib", "PosixPath"),
    ("torch", "Size"),
    ("torch", "device"),
];

/// Reads the pickle at the start of `bytes`, by the operations of Python's
/// [pickletools](https://github.com/python/cpython/blob/main/Lib/pickletools.py)
/// that `torch.save` writes. The error is the reason why it cannot be read.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let mut machine = Machine {
        bytes: &bytes[..bytes.len().min(MAX_LEN)],
        at: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle { values: machine.values, root, len: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One operation; false after the last.
    fn step(&mut self) -> Result<bool, String> {
        let [operation] = self.take_array()?;
        match operation {
            b'.' => return Ok(false),
            // Protocol and frame.
            0x80 => self.at += 1,
            0x95 => self.at += 8,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_marked()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            // None, booleans.
            b'N' | 0x88 | 0x89 => self.push(Value::Other)?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Other)?;
            }
            b'J' => {
                let value = i32::from_le_bytes(self.take_array()?);
                self.push(Value::Int(value.into()))?;
            }
            b'K' => {
                let [value] = self.take_array()?;
                self.push(Value::Int(value.into()))?;
            }
            b'M' => {
                let value = u16::from_le_bytes(self.take_array()?);
                self.push(Value::Int(value.into()))?;
            }
            0x8a => self.long()?,
            // Texts, then bytes, by the width of their length.
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'U' => self.text(1)?,
            b'T' => self.text(4)?,
            b'C' => self.blob(1)?,
            b'B' => self.blob(4)?,
            0x8e => self.blob(8)?,
            b')' | b']' | 0x8f => self.push(Value::Items(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b't' | b'l' | 0x91 => {
                let items = self.pop_marked()?;
                self.push(Value::Items(items))?;
            }
            0x85..=0x87 => {
                let count = usize::from(operation - 0x84);
                let from = self.stack.len().checked_sub(count).ok_or(UNDERFLOW)?;
                let items = self.stack.split_off(from);
                self.push(Value::Items(items))?;
            }
            b'd' => {
                let items = self.pop_marked()?;
                self.push(Value::Dict(pairs(&items)))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_marked()?;
                self.append(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_marked()?;
                self.insert(&items)?;
            }
            b'q' => {
                let [slot] = self.take_array()?;
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.take_array()?);
                self.remember(slot)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let [slot] = self.take_array()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.take_array()?);
                self.recall(slot)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(module, name))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.get(module), self.get(name)) {
                    (Value::Text(module), Value::Text(name)) => {
                        let global = Value::Global(module, name);
                        self.push(global)?;
                    }
                    _ => return Err("its pickle names a class by something else than text".into()),
                }
            }
            // An object of a class, or what a function returns.
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let made = self.construct(callable, arguments)?;
                self.push(made)?;
            }
            // An object's attributes.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Value::Storage(storage))?;
            }
            other => {
                return Err(format!(
                    "its pickle has the operation {other:#04x}, which torch.save does not write"
                ));
            }
        }
        Ok(true)
    }

    fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or("its pickle breaks off")?;
        self.at += count;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N).map(|bytes| *bytes.first_chunk().expect("as many as taken"))
    }

    fn counted(&mut self, width: usize) -> Result<&'a [u8], String> {
        let mut length = [0; 8];
        length[..width].copy_from_slice(self.take(width)?);
        let length = usize::try_from(u64::from_le_bytes(length));
        self.take(length.unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("its pickle breaks off")?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| NOT_UTF8.into())
    }

    fn text(&mut self, width: usize) -> Result<(), String> {
        let bytes = self.counted(width)?;
        self.push(Value::Text(std::str::from_utf8(bytes).map_err(|_| NOT_UTF8)?))
    }

    fn blob(&mut self, width: usize) -> Result<(), String> {
        self.counted(width)?;
        self.push(Value::Other)
    }

    /// A signed number of up to 255 bytes; no size or count needs more than 8.
    fn long(&mut self) -> Result<(), String> {
        let bytes = self.counted(1)?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        let value = match wide.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(wide))
            }
            None => Value::Other,
        };
        self.push(value)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        if self.values.len() >= MAX_VALUES {
            return Err(TOO_MANY.into());
        }
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| UNDERFLOW.into())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| UNDERFLOW.into())
    }

    fn pop_marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or(UNDERFLOW)?;
        if mark > self.stack.len() {
            return Err(UNDERFLOW.into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, slot: u32) -> Result<(), String> {
        if self.memo.len() >= MAX_VALUES {
            return Err(TOO_MANY.into());
        }
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        let id = self.memo.get(&slot).ok_or("its pickle recalls what it never stored")?;
        self.stack.push(*id);
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        let list = self.top()?;
        match &mut self.values[list as usize] {
            Value::Items(list) => list.extend(items),
            Value::Other => {}
            _ => return Err("its pickle appends to what is no list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<(), String> {
        let dict = self.top()?;
        match &mut self.values[dict as usize] {
            Value::Dict(dict) => dict.extend(pairs(items)),
            Value::Other => {}
            _ => return Err("its pickle inserts into what is no dictionary".into()),
        }
        Ok(())
    }

    fn construct(&self, callable: Id, arguments: Id) -> Result<Value<'a>, String> {
        let arguments = match self.get(arguments) {
            Value::Items(items) => items.as_slice(),
            _ => return Err("its pickle calls without a tuple of arguments".into()),
        };
        match *self.get(callable) {
            Value::Global("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => {
                self.tensor(arguments).ok_or_else(|| "its pickle describes no tensor".into())
            }
            Value::Global("torch._utils", "_rebuild_parameter") => match arguments.first() {
                Some(&tensor) => Ok(self.get(tensor).clone()),
                None => Err("its pickle describes no parameter".into()),
            },
            // Its items follow; only Python 2 gave them here, and a list that many
            // such calls share would be copied by each.
            Value::Global("collections", "OrderedDict") if arguments.is_empty() => {
                Ok(Value::Dict(Vec::new()))
            }
            Value::Global("collections", "defaultdict") => Ok(Value::Dict(Vec::new())),
            Value::Global(module, name) if HARMLESS.contains(&(module, name)) => Ok(Value::Other),
            Value::Global(module, name) => Err(format!(
                "its pickle calls {module}.{name}, which is never run; save the model's state_dict() alone"
            )),
            _ => Err("its pickle calls what is no class".into()),
        }
    }

    fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        match self.get(id) {
            Value::Items(items) if items.len() <= MAX_RANK => {
                items.iter().map(|&id| self.size(id)).collect()
            }
            _ => None,
        }
    }

    fn tensor(&self, arguments: &[Id]) -> Option<Value<'a>> {
        let [storage, offset, shape, strides, ..] = *arguments else {
            return None;
        };
        let Value::Storage(storage) = *self.get(storage) else {
            return None;
        };
        let (offset, shape, strides) =
            (self.size(offset)?, self.sizes(shape)?, self.sizes(strides)?);
        Some(Value::Tensor(Tensor { storage, offset, shape, strides }))
    }

    fn storage(&self, id: Id) -> Result<Storage<'a>, String> {
        let described = || {
            let Value::Items(parts) = self.get(id) else {
                return None;
            };
            let [tag, class, key, _, len, ..] = **parts else {
                return None;
            };
            match (self.get(tag), self.get(class), self.get(key)) {
                (Value::Text("storage"), Value::Global(_, class), Value::Text(key)) => {
                    let (element, len) = (storage_element(class)?, self.size(len)?);
                    Some(Storage { element, key, len })
                }
                _ => None,
            }
        };
        described().ok_or_else(|| "its pickle refers to an unknown kind of storage".into())
    }
}

/// More dimensions than any weight has; bounds what a copied value can cost.
const MAX_RANK: usize = 8;

const UNDERFLOW: &str = "its pickle takes more than it holds";
const TOO_MANY: &str = "its pickle holds more values than any checkpoint";
const NOT_UTF8: &str = "its pickle has text that is not UTF-8";

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)).collect()
}
