/// Top-1 and top-5 accuracy.
///
/// Classes of equal score rank by index, lowest first, as in PyTorch's `argmax`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopK {
    first: usize,
    five: usize,
    total: usize,
}

impl TopK {
    /// Adds one prediction: the scores of all classes, and the true class.
    ///
    /// # Panics
    /// Where `label` is not an index of `scores`.
    pub fn add(&mut self, scores: &[f32], label: usize) {
        let own = scores[label];
        let before = scores
            .iter()
            .enumerate()
            .filter(|&(class, &score)| score > own || (score == own && class < label));
        let rank = before.take(5).count();
        // A score that is not a number is never right.
        self.first += usize::from(rank < 1 && !own.is_nan());
        self.five += usize::from(rank < 5 && !own.is_nan());
        self.total += 1;
    }

    /// Top-1 accuracy, 0 to 1; 0 without predictions.
    pub fn top1(&self) -> f64 {
        self.share(self.first)
    }

    /// Top-5 accuracy, 0 to 1; 0 without predictions.
    pub fn top5(&self) -> f64 {
        self.share(self.five)
    }

    /// Number of predictions.
    pub fn total(&self) -> usize {
        self.total
    }

    fn share(&self, count: usize) -> f64 {
        count as f64 / self.total.max(1) as f64
    }
}
