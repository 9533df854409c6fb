//! Files of PyTorch's `torch.save`. Their pickle is read as data: a handful of
//! known constructors are recognised by name and nothing is ever run.

mod archive;
mod legacy;
mod machine;
mod state_dict;
mod value;

pub(super) use archive::contents as zip_contents;
pub(super) use legacy::{MAGIC as LEGACY_MAGIC, contents as legacy_contents};
