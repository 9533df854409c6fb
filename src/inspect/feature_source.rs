/// Whose features a number describes, in display order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FeatureSource {
    Teacher,
    Refined,
    TrainingFree,
    Student,
}

/// The teacher's features, in [`Findings`](super::Findings).
pub const TEACHER: &str = "teacher";
/// The teacher's features, refined by a run's adapters.
pub const REFINED: &str = "refined teacher";
/// The teacher's features, refined in closed form.
pub const TRAINING_FREE: &str = "training-free";
/// The student's features.
pub const STUDENT: &str = "student";
/// Outliers' norms scaled down to the quantile, see [`clipped`](super::clipped).
pub const CLIPPED: &str = "clipped";
/// Outliers set to zero, see [`zeroed`](super::zeroed).
pub const ZEROED: &str = "zeroed";

impl FeatureSource {
    pub(super) fn name(self) -> String {
        match self {
            Self::Teacher => TEACHER,
            Self::Refined => REFINED,
            Self::TrainingFree => TRAINING_FREE,
            Self::Student => STUDENT,
        }
        .to_owned()
    }
}
