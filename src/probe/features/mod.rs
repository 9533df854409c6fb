//! Features of a frozen model, computed once and kept on disk.

mod compute;
mod folder;
mod key;
mod store;

pub use compute::{FeaturePrecision, FeatureProgress, FeatureSettings, View, features, patch_grid};
pub use key::ModelKey;
pub(super) use key::hex;
pub use store::FeatureStore;

use std::path::PathBuf;

/// Where features are kept by default: `singer/features` in the user's cache folder, which
/// is `$XDG_CACHE_HOME` or `~/.cache` on Linux, `~/Library/Caches` on macOS and
/// `%LOCALAPPDATA%` on Windows. None where the system names no such folder.
pub fn default_cache() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("singer").join("features"))
}
