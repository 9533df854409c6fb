use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::TeacherPass;

/// A teacher's passes on images that come round again: it does not change, so they
/// are kept as far as a bound of memory allows.
#[derive(Debug)]
pub struct PassCache {
    most: usize,
    kept: Mutex<Kept>,
}

/// Batch, and first image within it.
type Key = (usize, usize);

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    passes: HashMap<Key, TeacherPass>,
}

impl PassCache {
    /// Keeps at most `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    /// The pass on the images of a batch from the given one on, computed where it is
    /// not kept.
    pub fn pass(&self, images: Key, compute: impl FnOnce() -> TeacherPass) -> TeacherPass {
        // Parts of a batch compute theirs at the same time.
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pass) = kept().passes.get(&images) {
            return pass.clone();
        }
        let pass = compute();
        let bytes = pass.bytes();
        let mut kept = kept();
        if kept.bytes + bytes <= self.most {
            kept.bytes += bytes;
            kept.passes.insert(images, pass.clone());
        }
        pass
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    fn pass(value: f32) -> TeacherPass {
        let features = Tensor::<3>::full([1, 2, 4], value, &Device::flex());
        TeacherPass {
            next: vec![Some(features.clone()), None],
            features: vec![features.clone(); 2],
        }
    }

    #[test]
    fn a_pass_is_computed_once_while_there_is_room() {
        let bytes = pass(0.0).bytes();
        assert_eq!(bytes, 3 * 2 * 4 * 4);
        let cache = PassCache::new(2 * bytes + 1);
        let get = |key| {
            let mut computed = false;
            let got = cache.pass(key, || {
                computed = true;
                pass((10 * key.0 + key.1) as f32)
            });
            assert_eq!(
                got.features[1].clone().max().into_scalar::<f32>(),
                (10 * key.0 + key.1) as f32
            );
            computed
        };
        let asked = [(0, 0), (0, 16), (1, 0), (0, 0), (0, 16), (1, 0)];
        assert_eq!(asked.map(get), [true, true, true, false, false, true]);
    }
}
