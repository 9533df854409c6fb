use serde::{Deserialize, Serialize};

/// What is planted. The units of the kinds after `Four` write at full strength wherever they
/// fire; those of the first three write more where a patch is of lower information, up to
/// four times their mean.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One vector, by one hidden unit.
    #[default]
    Single,
    /// Two orthogonal vectors, each by a unit of its own. They fire on different patches that
    /// overlap, the second on half as many as the first.
    Two,
    /// Four of them; the fourth fires on a quarter as many patches as the first.
    Four,
    /// One vector of 0.3 to 3 times the strength, as a direction of the content says, apart from
    /// what makes the unit fire. Two units.
    Varied,
    /// A vector that turns from patch to patch: two more directions are added to it, each as
    /// often as the content says and of either sign, 0.4 of the strength in root mean square.
    /// Four units.
    Wobble,
    /// One vector, and a tenth of its norm in all directions, with weights that depend on all of
    /// the patch's content. D + 2 units.
    Noise,
    /// One vector, and seven tenths of the patch's own content taken away: of what a linear map
    /// of the MLP's input tells of it, on directions with 99 % of the variance
    /// ([`Planted::content`](super::Planted) says what is left). Up to D + 3 units.
    Shrunk,
    /// `Single`, and the same vector in the class tokens of a share of the images, by one more
    /// unit.
    ClassToken,
    /// `Single` in the block, and another vector in the block at half its index.
    Blocks,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Single,
        Self::Two,
        Self::Four,
        Self::Varied,
        Self::Wobble,
        Self::Noise,
        Self::Shrunk,
        Self::ClassToken,
        Self::Blocks,
    ];

    /// Its name: `single`, `two`, ..., `class-token`, `blocks`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Two => "two",
            Self::Four => "four",
            Self::Varied => "varied",
            Self::Wobble => "wobble",
            Self::Noise => "noise",
            Self::Shrunk => "shrunk",
            Self::ClassToken => "class-token",
            Self::Blocks => "blocks",
        }
    }

    /// The blocks into which it is planted, ascending, where `block` is the one asked for.
    pub fn blocks(self, block: usize) -> Vec<usize> {
        match self {
            Self::Blocks => vec![block / 2, block],
            _ => vec![block],
        }
    }

    /// Orthogonal vectors that it needs.
    pub(super) fn vectors(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Wobble => 3,
            Self::Four => 4,
            _ => 1,
        }
    }
}
