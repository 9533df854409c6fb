//! Features of a frozen model, computed once and kept on disk.

mod compute;
mod folder;
mod key;
mod store;

pub use compute::{FeatureProgress, FeatureSettings, Precision, View, features};
pub use key::ModelKey;
pub use store::FeatureStore;
