use serde::{Deserialize, Serialize};

/// How the tokens after the final norm become the model's one output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The class token.
    #[default]
    Token,
    /// The mean of the patch tokens (DINOv3 in timm).
    Mean,
    /// An attention pool with a learned query (SigLIP).
    Attention,
}
