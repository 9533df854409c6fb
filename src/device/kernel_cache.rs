//! What burn keeps from one process to the next: the kernels that autotune chose for each
//! shape, and compiled kernels where the driver takes SPIR-V.

use std::path::PathBuf;

use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use sha2::{Digest, Sha256};

use super::AdapterReport;

/// Where they are kept: `singer/kernels` in the user's cache folder, which is
/// `$XDG_CACHE_HOME` or `~/.cache` on Linux, `~/Library/Caches` on macOS and `%LOCALAPPDATA%`
/// on Windows. None where the system names no such folder. Processes may share it, and it
/// may be removed at any time. burn's own settings, `cubecl.toml` and `burn.toml` in the
/// current folder or above and the variables `CUBECL_*`, come first.
pub fn kernel_cache() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("singer").join("kernels"))
}

/// Has burn keep them, in a file of its own for the machine's adapters: burn tells its
/// entries apart by the kind and number of a device, not by what it is. Without effect once
/// burn has started.
pub(super) fn keep(adapters: &[AdapterReport]) {
    let mut config = CubeClRuntimeConfig::from_current_dir();
    let stated = stated().unwrap_or_default();
    let free = |section: &str, key: &str| stated.get(section).and_then(|of| of.get(key)).is_none();
    if free("environment", "path")
        && let Some(folder) = kernel_cache()
    {
        config.environment.path = CacheConfig::Directory(folder);
    }
    if free("environment", "name") {
        config.environment.name = name(adapters);
    }
    if free("compilation", "cache") {
        config.compilation.cache = true;
    }
    CubeClRuntimeConfig::try_set(config.override_from_env());
}

/// Whether burn measures kernels before it chooses: where its own settings state a level of
/// autotune.
pub(super) fn tunes() -> bool {
    let level = |stated: toml::Table| stated.get("autotune")?.get("level").cloned();
    std::env::var_os("CUBECL_AUTOTUNE_LEVEL").is_some() || stated().and_then(level).is_some()
}

/// The user's settings as text: which of them are stated, a [`CubeClRuntimeConfig`] does not
/// tell.
fn stated() -> Option<toml::Table> {
    let folder = std::env::current_dir().ok()?;
    folder.ancestors().find_map(|folder| {
        let read = |name: &str| -> Option<toml::Table> {
            std::fs::read_to_string(folder.join(name)).ok()?.parse().ok()
        };
        let whole = CubeClRuntimeConfig::file_names().iter().find_map(|name| read(name));
        whole.or_else(|| {
            let mut files = CubeClRuntimeConfig::section_file_names().iter();
            files.find_map(|(name, section)| read(name)?.remove(*section)?.try_into().ok())
        })
    })
}

/// This version and these adapters with their drivers, as a file's name. Kernels that were taken
/// without measuring have a file of their own.
fn name(adapters: &[AdapterReport]) -> String {
    let mut hash = Sha256::new();
    for AdapterReport { name, api, driver, .. } in adapters.iter().filter(|of| of.kind != "cpu") {
        for part in [name, api, driver] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
    }
    let hash: String = hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let first = if tunes() { "" } else { "-first" };
    format!("{}-{hash}{first}", env!("CARGO_PKG_VERSION"))
}
