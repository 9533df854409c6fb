/// The metadata entry of a file of ours that says the model's shape.
pub(crate) const CONFIG_KEY: &str = "singer.vit";

/// The note that says how a model's images are prepared: JSON with at least the
/// channel `mean` and `std`.
pub const PREPROCESS_KEY: &str = "singer.preprocess";
