use std::fmt;
use std::str::FromStr;

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose settings by. Sets without such a part give [`Test`](Self::Test).
    Val,
    /// [`Train`](Self::Train) and [`Val`](Self::Val); sets without the latter give
    /// the former.
    TrainVal,
    /// To measure on. Sets that keep its labels to themselves give
    /// [`Val`](Self::Val).
    Test,
}

impl Split {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Train, Self::Val, Self::TrainVal, Self::Test];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::TrainVal => "trainval",
            Self::Test => "test",
        }
    }

    /// What folders of the part are called, the likeliest first; several where the
    /// part is made of others.
    pub(super) fn folders(self) -> &'static [&'static [&'static str]] {
        const TRAIN: &[&str] = &["train", "training"];
        const VAL: &[&str] = &["val", "valid", "validation", "test", "testing"];
        const TEST: &[&str] = &["test", "testing", "val", "valid", "validation"];
        const ONLY_VAL: &[&str] = &["val", "valid", "validation"];
        match self {
            Self::Train => &[TRAIN],
            Self::Val => &[VAL],
            Self::Test => &[TEST],
            Self::TrainVal => &[TRAIN, ONLY_VAL],
        }
    }

    /// Whether folders of a part are called so.
    pub(super) fn is_folder(name: &str) -> bool {
        let lists = Self::ALL.iter().flat_map(|split| split.folders());
        lists.into_iter().any(|names| names.contains(&name))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|split| split.name() == text);
        known.ok_or_else(|| format!("use {}", Self::ALL.map(Self::name).join(", ")))
    }
}
