//! The library's one error type.

mod not_finite;

use std::path::{Path, PathBuf};

pub use not_finite::{NotFiniteIn, NotFiniteOrigin};

/// What can go wrong in this library.
///
/// Each message names what is at fault and, where the library knows it, how to fix it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Nothing can be written to a folder.
    #[error("{path}: nothing can be written there ({source})", path = path.display())]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error("{path}: the disk is full; free some space", path = path.display())]
    DiskFull {
        /// The file that was to be written.
        path: PathBuf,
    },
    /// A setting has a value that cannot work.
    #[error("{0}")]
    Config(String),
    /// A setting has a value outside its range.
    #[error("{setting} is {value}; {expected}")]
    Setting {
        /// The field of the settings.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it must be, as a clause: "it must lie between 0 and 1".
        expected: String,
    },
    /// No known model has this name.
    #[error("`{arch}` is not a known model; did you mean `{nearest}`?")]
    UnknownArch {
        /// The name.
        arch: String,
        /// The known name that is nearest.
        nearest: &'static str,
    },
    /// A format that cannot express the model.
    #[error("{arch} cannot be exported to {format}: {reason}")]
    Export {
        /// The model's name.
        arch: String,
        /// `timm`, `transformers` or `ONNX`.
        format: &'static str,
        /// What the format lacks.
        reason: String,
        /// Whether it can be exported without its head.
        without_head: bool,
    },
    /// Weights that the type of an export cannot hold.
    #[error(
        "{count} values are beyond {dtype} and would become infinite (the largest, {largest:e}, in {tensor})"
    )]
    Overflow {
        /// How many.
        count: usize,
        /// The type.
        dtype: &'static str,
        /// The largest of them by magnitude.
        largest: f32,
        /// The tensor that holds it.
        tensor: String,
    },
    /// A weight is beyond half precision, in which products were to be computed.
    #[error("{tensor} holds {largest:e}, and half precision ends at 65504")]
    BeyondHalf {
        /// The tensor, with its block.
        tensor: String,
        /// Its largest value by magnitude.
        largest: f32,
    },
    /// Something that is not to be replaced is in the place of an export.
    #[error("{path} is there already", path = path.display())]
    Exists {
        /// The file, or the folder that is not empty.
        path: PathBuf,
    },
    /// A file is named where only a folder will do.
    #[error("{path} names a file; this format has several files and needs a folder", path = path.display())]
    NeedsFolder {
        /// The file.
        path: PathBuf,
    },
    /// The teacher has no such block.
    #[error("{setting} name layer {layer}; the teacher's blocks are 0 to {last}")]
    Layer {
        /// The field of the settings.
        setting: &'static str,
        /// The layer.
        layer: usize,
        /// The teacher's last block.
        last: usize,
    },
    /// A layer is named twice.
    #[error("{setting} name layer {layer} twice")]
    RepeatedLayer {
        /// The field of the settings.
        setting: &'static str,
        /// The layer.
        layer: usize,
    },
    /// There are more teacher layers than student blocks to learn from them.
    #[error(
        "{} teacher layers {layers:?} need as many student blocks, and the student has {student_depth}: \
         name fewer layers or use a deeper student",
        layers.len()
    )]
    TooManyLayers {
        /// The teacher's layers.
        layers: Vec<usize>,
        /// The student's number of blocks.
        student_depth: usize,
    },
    /// The reference's losses compare the last layer with an intermediate one, and none is named.
    #[error(
        "the reference form of the losses compares the last layer with an intermediate one: name at least one"
    )]
    NoIntermediateLayer,
    /// Teacher and student do not have the same tokens: prefix and patch tokens of each.
    #[error(
        "the teacher has {} prefix and {} patch tokens, the student {} and {}: both need the same number of patches, \
         register tokens and class token",
        teacher[0], teacher[1], student[0], student[1]
    )]
    Tokens {
        /// The teacher's.
        teacher: [usize; 2],
        /// The student's.
        student: [usize; 2],
    },
    /// The teacher's logits are to be distilled, and it has no head.
    #[error(
        "the teacher has no head (its classifier was lost, or it never had one), and logits are to be distilled: \
         use weights that kept their head, or a method that distils features (singer, fitnet, cosine)"
    )]
    NoHead,
    /// Teacher and student have another number of classes, and logits are to be distilled.
    #[error("the teacher's head has {teacher} classes and the student's {student}")]
    Classes {
        /// The teacher's.
        teacher: usize,
        /// The student's; 0 without a head.
        student: usize,
    },
    /// Given adapters do not fit the teacher or its layers.
    #[error("{0}")]
    Adapters(String),
    /// A departure from a model's published shape cannot be.
    #[error("{role}: {setting} is {value}; {expected}")]
    ModelSetting {
        /// `teacher`, `student` or `model`.
        role: &'static str,
        /// The field of the model's spec.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it must be, as a clause.
        expected: String,
    },
    /// Teacher and student take images of different sizes.
    #[error(
        "the teacher takes {teacher:?} pixels and the student {student:?}: both must take the same"
    )]
    ImageSizes {
        /// Height and width of the teacher's.
        teacher: [usize; 2],
        /// Height and width of the student's.
        student: [usize; 2],
    },
    /// Something that a run needs is not given.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// The folder holds a run already.
    #[error("{path} already holds a run", path = path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder's checkpoint belongs to a run with other settings.
    #[error("{path} belongs to a run with other settings{difference}", path = path.display())]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// The first setting that differs, in brackets.
        difference: String,
    },
    /// Training stopped on request; a checkpoint is written.
    #[error(
        "stopped after step {step} of {steps}{}",
        rank.map(|rank| format!(", as rank {rank} was asked to")).unwrap_or_default()
    )]
    Interrupted {
        /// Steps done.
        step: usize,
        /// Steps in all.
        steps: usize,
        /// The rank that was asked to stop, where there are several.
        rank: Option<usize>,
    },
    /// The length of a run comes to no step.
    #[error("there is nothing to do in {epochs} epochs of {images} images in batches of {batch}")]
    NothingToDo {
        /// Passes over the images.
        epochs: f64,
        /// Images of the set.
        images: usize,
        /// Images in a batch.
        batch: usize,
    },
    /// An epoch has no length, as the number of images is known only when they are read.
    #[error(
        "how many images there are is known only when their shards are read, so epochs have no length"
    )]
    UnknownLength,
    /// Labels are to be learnt, and the number of classes is known only when they are read.
    #[error("how many classes there are is known only when the shards are read")]
    UnknownClasses,
    /// Images that come in one pass from a server are to be read in any order.
    #[error(
        "{place}: its images come from a server in one pass, and here they are read in any order"
    )]
    OnePass {
        /// The first shard.
        place: String,
    },
    /// Classes are needed, and images have none or all one.
    #[error("{place}: {reason}", place = place.display())]
    NoClasses {
        /// Where the images are.
        place: PathBuf,
        /// What is there instead, as a clause without its subject: "holds 1 class folder".
        reason: String,
    },
    /// Labels are to be learnt, and the images have none.
    #[error("the images have no labels (no folder for each class), and training needs them")]
    NoLabels,
    /// The data has another number of classes than a head.
    #[error("{head} has {known} classes and the data {classes}: {reason}")]
    DataClasses {
        /// Whose head.
        head: &'static str,
        /// The head's.
        known: usize,
        /// The data's.
        classes: usize,
        /// Why that does not work.
        reason: &'static str,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(String),
    /// A file of weights is damaged or of another kind.
    #[error("{path}: not a readable file of weights ({reason}); download or export it again", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What the reader found.
        reason: String,
    },
    /// A tensor is of a type that files of named tensors do not hold.
    #[error("the tensor {name} is of {found}; files of tensors hold F32, F64 and F16")]
    Element {
        /// The tensor's name.
        name: String,
        /// Its type.
        found: String,
    },
    /// A file of weights names its tensors as no known model does, or leaves open
    /// what the model is.
    #[error("{path}: {reason}", path = path.display())]
    Naming {
        /// The file.
        path: PathBuf,
        /// What was found, and how to fix it.
        reason: String,
    },
    /// A file holds several models, and nothing tells which one is meant.
    #[error(
        "{path}: it holds {} Vision Transformers: {}; choose one by its key",
        found.len(), found.join(", "), path = path.display()
    )]
    SeveralModels {
        /// The file.
        path: PathBuf,
        /// Key and shape of each.
        found: Vec<String>,
    },
    /// A file of weights has no tensors under a key.
    #[error(
        "{path}: no tensor is under the key `{key}`{}",
        if found.is_empty() { String::new() } else { format!("; there are {}", found.join(", ")) },
        path = path.display()
    )]
    WeightsKey {
        /// The file.
        path: PathBuf,
        /// The key or prefix.
        key: String,
        /// Those that are there.
        found: Vec<String>,
    },
    /// A file of weights belongs to another architecture.
    #[error("{path}: the tensors do not fit {arch}{report}", path = path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The architecture that was asked for.
        arch: String,
        /// Missing, unexpected and mis-shaped tensors by name.
        report: String,
    },
    /// The data set cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    Data {
        /// The image, folder or zip file.
        path: PathBuf,
        /// What is wrong with it, and how to fix it.
        reason: String,
    },
    /// An image has no pixels, or more than are decoded safely.
    #[error(
        "{width}x{height} pixels are {}",
        if *width == 0 || *height == 0 { "none".to_owned() }
        else { format!("more than the limit of {limit}; scale it down") }
    )]
    ImageSize {
        /// In pixels.
        width: u64,
        /// In pixels.
        height: u64,
        /// The most pixels that an image may have.
        limit: u64,
    },
    /// An image could not be resized.
    #[error("an image of {}x{} pixels cannot be resized to {}x{}: {reason}", from[1], from[0], to[1], to[0])]
    Resize {
        /// Height and width of the image.
        from: [usize; 2],
        /// Height and width that were wanted.
        to: [usize; 2],
        /// What the resizer said.
        reason: String,
    },
    /// Too many images of a set are unreadable.
    #[error(
        "{last}; {unreadable} of {images} images are unreadable, more than the share of {allowed} that is allowed"
    )]
    Unreadable {
        /// Why the last image could not be read.
        last: Box<Error>,
        /// Unreadable images so far.
        unreadable: usize,
        /// Images of the set.
        images: usize,
        /// The share that may be unreadable.
        allowed: f64,
    },
    /// An error of one of the ranks that train together, on which all of them stop.
    #[error("rank {rank}: {error}")]
    Rank {
        /// Where it happened, from 0.
        rank: usize,
        /// What happened.
        error: Box<Error>,
    },
    /// Another rank failed, and has the error ([`Error::Rank`]).
    #[error("rank {rank} failed")]
    OtherRank {
        /// The first rank that failed.
        rank: usize,
    },
    /// What another rank says of an error there.
    #[error("rank {rank}: {message}")]
    Told {
        /// Where it happened, from 0.
        rank: usize,
        /// What happened.
        message: String,
    },
    /// Ranks that train together have other settings.
    #[error("rank {rank} has other settings than rank 0{difference}; start all ranks alike")]
    RanksDiffer {
        /// The first rank that differs.
        rank: usize,
        /// The setting, in brackets, where it is known.
        difference: String,
    },
    /// A rank computes other parameters than the first, from the same gradients.
    #[error(
        "step {step}: the parameters of rank {rank} are no longer those of rank 0; train on devices of one kind"
    )]
    RanksDrifted {
        /// The first rank that differs.
        rank: usize,
        /// Steps done.
        step: usize,
    },
    /// Ranks cannot talk to each other.
    #[error("ranks cannot talk to each other: {0}")]
    Link(String),
    /// The last step left a weight that is NaN or infinite.
    #[error("step {step}: {name} holds {value}; nothing was written but the run's checkpoint")]
    NotFiniteWeights {
        /// The last step, counted from 1.
        step: usize,
        /// The parameter.
        name: String,
        /// NaN or an infinity.
        value: f32,
    },
    /// A loss became NaN or infinite.
    #[error(
        "step {step}: the {term} is {value}; training stopped, and an earlier checkpoint is kept where there is one{}",
        origin.as_ref().map(|origin| format!("; {origin}")).unwrap_or_default()
    )]
    NotFinite {
        /// The step, counted from 1.
        step: usize,
        /// The loss term, or the norm of the gradients.
        term: String,
        /// NaN or an infinity.
        value: f32,
        /// Where it begins, as far as that was looked for.
        origin: Option<Box<NotFiniteOrigin>>,
    },
    /// A model of the hub could not be had.
    #[error("{model}: {reason}")]
    Hub {
        /// `OWNER/NAME@REVISION`.
        model: String,
        /// Why not, and how to fix it.
        reason: String,
    },
    /// A tracker does not take what it is sent.
    #[error("{tracker}: {reason}")]
    Tracker {
        /// Its name and address.
        tracker: String,
        /// Why not.
        reason: String,
    },
    /// The wanted device does not exist or cannot be started.
    #[error("device {wanted}: {reason}")]
    Device {
        /// As the user wrote it.
        wanted: String,
        /// Why not, and how to fix it.
        reason: String,
    },
    /// Tensors, buffers or images of shapes that an operation cannot take.
    #[error("{what}: {reason}")]
    Shape {
        /// The operation, and where it helps the tensor.
        what: String,
        /// The shapes, and what is wrong with them.
        reason: String,
    },
    /// A model's matrices cannot be kept in half precision on this device.
    #[error(
        "matrices can be kept in half precision on a GPU alone, and where all widths are multiples of 4"
    )]
    HalfMatrices,
    /// A tensor is on another device than the one that should work on it, or belongs to
    /// an autodiff graph.
    #[error(
        "the tensor is on another device than the GPU of these shaders, or belongs to an autodiff graph"
    )]
    Placement,
    /// A tensor or an adapter is beyond what a shader can work with.
    #[error("{what}: needs {needed}, but the device allows {limit}")]
    GpuLimit {
        /// The tensor, or the device's limit.
        what: String,
        /// What the work needs, in bytes or in the limit's own unit.
        needed: u64,
        /// What the device allows.
        limit: u64,
        /// What would have to change.
        kind: LimitKind,
    },
    /// The GPU refused or lost the work.
    #[error("the GPU failed at {doing}: {reason}")]
    Gpu {
        /// The shader or the copy.
        doing: String,
        /// The driver's reason.
        reason: String,
    },
    /// The model has no such layer.
    #[error("there is no layer {layer}; the teacher's are 0 to {last}", last = depth.saturating_sub(1))]
    NoSuchLayer {
        /// The layer, counted from 0.
        layer: usize,
        /// How many the teacher has.
        depth: usize,
    },
    /// Models, or what was trained for them, do not fit each other.
    #[error("{reason}")]
    Incompatible {
        /// What does not fit what.
        reason: String,
    },
    /// There are no images to work on.
    #[error("there are no images")]
    NoImages,
    /// Planting changed no patch by more than the median patch norm.
    #[error(
        "planting changed no patch of these images by more than the median patch norm; \
         take more images, a higher strength or a larger share"
    )]
    NoArtifacts,
    /// An image is smaller than one patch.
    #[error("{path}: {width}x{height} pixels leave no patch of {patch}x{patch}", path = path.display())]
    TooFewPixels {
        /// The image.
        path: PathBuf,
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
        /// Side of a patch in pixels.
        patch: usize,
    },
    /// An image has more patches than fit into memory.
    #[error("{path}: {patches} patches are more than {limit}", path = path.display())]
    TooManyPatches {
        /// The image.
        path: PathBuf,
        /// How many it has.
        patches: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A figure could not be drawn or encoded.
    #[error("cannot draw a figure: {reason}")]
    Drawing {
        /// Why not.
        reason: String,
    },
    /// Settings in a file, or given beside one, cannot be read or do not go together.
    #[error("{place}: {reason}")]
    SettingsFile {
        /// The file, or what else holds them.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A student of a study was trained with other settings than those asked for.
    #[error("{folder} was made with other settings", folder = folder.display())]
    OtherSettings {
        /// The run's folder.
        folder: PathBuf,
    },
    /// A job of a study failed.
    #[error("{job}: {reason}")]
    Job {
        /// Name and seed.
        job: String,
        /// Why.
        reason: String,
    },
    /// The results of a probe lack a metric that a study asks for.
    #[error("the probe {probe:?} has no number at {at:?}; there are {}", found.join(", "))]
    NoMetric {
        /// The probe's name.
        probe: String,
        /// The place of the number, as an RFC 6901 pointer.
        at: String,
        /// Where there are numbers.
        found: Vec<String>,
    },
    /// The loss of a linear head became NaN or infinite.
    #[error("the head's loss is {loss} in step {step}")]
    Diverged {
        /// The step, counted from 1.
        step: usize,
        /// NaN or an infinity.
        loss: f64,
    },
    /// The truth of a set of images leaves nothing to learn from or to measure.
    #[error("nothing in the {images} images counts: {reason}")]
    NoTruth {
        /// `training` or `test`.
        images: &'static str,
        /// Why not.
        reason: String,
    },
    /// A class of a set is not one that a head knows.
    #[error("the class `{class}` is not one of the {known} that the head learns ({first}, …)")]
    UnknownClass {
        /// The class.
        class: String,
        /// How many the head knows.
        known: usize,
        /// The first of them.
        first: String,
    },
    /// The features of an image cannot be kept.
    #[error(
        "the features of {image} are not finite{}",
        if *half { " or beyond half precision" } else {
            ": are the model's weights those of its architecture?"
        }
    )]
    Features {
        /// The image.
        image: String,
        /// Whether they were to be kept in half precision.
        half: bool,
    },
    /// Features cannot be kept in a folder.
    #[error("{path}: features cannot be kept there ({source})", path = path.display())]
    FeatureCache {
        /// The folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A refinement that does not go with the method.
    #[error("the teacher's refinement does not go with the method: {0}")]
    Refinement(&'static str),
    /// Statistics of a block's features cannot be made.
    #[error(
        "no closed form for block {0}: its features hold NaN or infinite values, or hardly vary"
    )]
    NoClosedForm(usize),
    /// The singular value decomposition did not converge.
    #[error(
        "the singular value decomposition of block {0} failed: its weights hold NaN or infinite values"
    )]
    Svd(usize),
}

impl Error {
    /// Wraps an I/O error with the path it is about.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), source }
    }

    /// An error about a file of weights at `path`.
    pub(crate) fn checkpoint(path: impl AsRef<Path>, reason: &str) -> Self {
        Self::Checkpoint { path: path.as_ref().to_owned(), reason: one_line(reason, 240) }
    }

    /// An error about the tensors' names in a file of weights at `path`.
    pub(crate) fn naming(path: impl AsRef<Path>, reason: &str) -> Self {
        Self::Naming { path: path.as_ref().to_owned(), reason: one_line(reason, 640) }
    }

    /// An error about a data set at `path`.
    pub fn data(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Data { path: path.as_ref().to_owned(), reason: reason.into() }
    }

    /// The root of what burn or wgpu says went wrong while `doing` something.
    pub(crate) fn gpu(doing: &str, reason: &str) -> Self {
        // Their messages are chains over many lines, the root cause last.
        let root = reason.rsplit("Caused by:").next().unwrap_or(reason);
        let lines = root.lines().map(str::trim);
        let lines = lines.take_while(|line| !line.contains("backtrace") && *line != "Asked at:");
        let reason = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        Self::Gpu { doing: doing.into(), reason }
    }

    /// A value of a setting that is outside its range; `expected` is a clause.
    pub fn setting(
        setting: &'static str,
        value: impl std::fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Setting { setting, value: value.to_string(), expected: expected.into() }
    }

    /// An error about models that do not fit each other.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn incompatible(reason: impl Into<String>) -> Self {
        Self::Incompatible { reason: reason.into() }
    }

    /// Shapes that an operation cannot take.
    pub(crate) fn shape(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Shape { what: what.into(), reason: reason.into() }
    }

    /// An error about settings that do not go together.
    pub fn config(message: impl Into<String>) -> Self {
        Self::Config(message.into())
    }
}

/// Which kind of limit of a GPU stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitKind {
    /// A buffer or a binding would be too large: fewer or smaller images may fit.
    Size,
    /// The device cannot run the shaders at all.
    Device,
}

/// The library's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// At most `most` characters of a reason in one line, whatever a hostile file put into it.
fn one_line(reason: &str, most: usize) -> String {
    let mut line: String =
        reason.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < reason.len() {
        line.push('…');
    }
    line
}
