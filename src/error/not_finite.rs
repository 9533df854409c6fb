use std::fmt;
use std::path::PathBuf;

/// Where the values of a training step first cease to be finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NotFiniteIn {
    /// The teacher's tokens as they enter block 0: the images or the patch embedding.
    TeacherEmbedding,
    /// The tokens leaving a block of the teacher.
    TeacherBlock {
        /// The block, from 0.
        block: usize,
        /// The largest absolute value that enters it.
        largest: f32,
    },
    /// The teacher's final norm, pooling or head.
    TeacherHead,
    /// Not in the teacher, so in what is trained or in the loss.
    Beyond {
        /// The largest absolute value of the teacher's tokens; 0 without a teacher.
        largest: f32,
    },
}

/// What is known of a step whose loss is not finite.
#[derive(Debug, Clone, PartialEq)]
pub struct NotFiniteOrigin {
    /// Where it begins.
    pub place: NotFiniteIn,
    /// The file that keeps the batch.
    pub batch: PathBuf,
}

impl fmt::Display for NotFiniteOrigin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            NotFiniteIn::TeacherEmbedding => {
                out.write_str("it begins in the teacher's embedded patches")?;
            }
            NotFiniteIn::TeacherBlock { block, largest } => {
                write!(out, "it begins in block {block} of the teacher")?;
                write!(out, ", which gets values up to {largest:.2e}")?;
            }
            NotFiniteIn::TeacherHead => out.write_str("it begins in the teacher's head")?,
            NotFiniteIn::Beyond { largest: 0.0 } => {
                out.write_str("it begins in the model that is trained")?;
            }
            NotFiniteIn::Beyond { largest } => {
                write!(
                    out,
                    "the teacher is finite on this batch, with values up to {largest:.2e}"
                )?;
                out.write_str(", so it begins in what is trained or in the loss")?;
            }
        }
        write!(out, "; the batch is kept in {}", self.batch.display())
    }
}
