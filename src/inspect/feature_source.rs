use crate::refine::Refiner;

/// Whose features a number describes, in display order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FeatureSource {
    Teacher,
    Refined,
    ClosedForm,
    Neighbours,
    Registers,
    Averaged,
    TrainingFree,
    Student,
}

/// The teacher's features, in [`Findings`](super::Findings).
pub const TEACHER: &str = "teacher";
/// The teacher's features as a run's student learns from them, or refined by given adapters.
pub const REFINED: &str = "refined teacher";
/// The teacher's features in the [closed form](crate::refine::closed_form) of given images.
pub const CLOSED_FORM: &str = "closed form";
/// The teacher's features with SINDER's target for outliers.
pub const NEIGHBOURS: &str = "neighbours";
/// The teacher's features with a test-time register.
pub const REGISTERS: &str = "test-time registers";
/// The teacher's features averaged over moved views, as PH-Reg does.
pub const AVERAGED: &str = "averaged views";
/// The teacher's features without the outliers' nullspace component.
pub const TRAINING_FREE: &str = "training-free";
/// The student's features.
pub const STUDENT: &str = "student";
/// Outliers' norms scaled down to the quantile, see [`clipped`](super::clipped).
pub const CLIPPED: &str = "clipped";
/// Outliers set to zero, see [`zeroed`](super::zeroed).
pub const ZEROED: &str = "zeroed";

impl FeatureSource {
    /// What a treatment gives.
    pub(super) fn of(refiner: &Refiner) -> Self {
        match refiner {
            Refiner::ClosedForm(_) => Self::ClosedForm,
            Refiner::Neighbours(_) => Self::Neighbours,
            Refiner::Registers(_) => Self::Registers,
            Refiner::Averaged(_) => Self::Averaged,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Teacher => TEACHER,
            Self::Refined => REFINED,
            Self::ClosedForm => CLOSED_FORM,
            Self::Neighbours => NEIGHBOURS,
            Self::Registers => REGISTERS,
            Self::Averaged => AVERAGED,
            Self::TrainingFree => TRAINING_FREE,
            Self::Student => STUDENT,
        }
        .to_owned()
    }
}
