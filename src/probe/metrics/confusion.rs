use serde::Serialize;

/// Confusion matrix of a set: pixels by true and predicted class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// Row-major `[truth, prediction]`.
    counts: Vec<u64>,
}

impl Confusion {
    /// An empty matrix.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Adds the pixels of one image; those whose true label is not a class (the
    /// ignored ones) do not count, whatever was predicted there.
    ///
    /// # Panics
    /// Where a prediction for a pixel that counts is not a class.
    pub fn add(&mut self, truth: &[u16], prediction: &[u16]) {
        for (&truth, &prediction) in truth.iter().zip(prediction) {
            let (truth, prediction) = (usize::from(truth), usize::from(prediction));
            if truth < self.classes {
                assert!(prediction < self.classes, "predicted class {prediction}");
                self.counts[truth * self.classes + prediction] += 1;
            }
        }
    }

    /// Adds the pixels of another matrix of as many classes.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// The scores of all pixels so far.
    pub fn scores(&self) -> SegmentationScores {
        let range = 0..self.classes;
        let at = |truth: usize, prediction: usize| self.counts[truth * self.classes + prediction];
        let right: Vec<u64> = range.clone().map(|class| at(class, class)).collect();
        let true_pixels: Vec<u64> =
            range.clone().map(|class| range.clone().map(|other| at(class, other)).sum()).collect();
        let predicted: Vec<u64> =
            range.clone().map(|class| range.clone().map(|other| at(other, class)).sum()).collect();
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let class_iou: Vec<Option<f64>> = range
            .clone()
            .map(|class| share(right[class], true_pixels[class] + predicted[class] - right[class]))
            .collect();
        let class_accuracy: Vec<Option<f64>> =
            range.map(|class| share(right[class], true_pixels[class])).collect();
        let pixels = true_pixels.iter().sum();
        SegmentationScores {
            miou: mean(&class_iou),
            pixel_accuracy: share(right.iter().sum(), pixels).unwrap_or(0.0),
            mean_accuracy: mean(&class_accuracy),
            class_iou,
            class_accuracy,
            pixels,
        }
    }
}

/// Mean of the values that exist; 0 if there are none.
fn mean(values: &[Option<f64>]) -> f64 {
    let present: Vec<f64> = values.iter().copied().flatten().collect();
    present.iter().sum::<f64>() / present.len().max(1) as f64
}

/// Scores of a segmentation, all from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentationScores {
    /// Mean of `class_iou` over the classes that have one.
    pub miou: f64,
    /// Pixel accuracy.
    pub pixel_accuracy: f64,
    /// Mean of `class_accuracy` over the classes that have one.
    pub mean_accuracy: f64,
    /// Intersection over union; none for a class that is neither in the truth
    /// nor in the prediction.
    pub class_iou: Vec<Option<f64>>,
    /// Recall of each class; none for a class that is not in the truth.
    pub class_accuracy: Vec<Option<f64>>,
    /// Number of pixels that count.
    pub pixels: u64,
}
