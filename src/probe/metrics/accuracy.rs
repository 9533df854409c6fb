/// Counts of answers whose right class is the first, or among the first five.
///
/// Classes of equal score rank by their index, lowest first, as the first
/// maximum is PyTorch's `argmax`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopK {
    first: usize,
    five: usize,
    total: usize,
}

impl TopK {
    /// Adds one answer: a score for each class, and the right class.
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

    /// Share of answers whose best class is the right one; 0 for no answer.
    pub fn top1(&self) -> f64 {
        self.share(self.first)
    }

    /// Share of answers with the right class among the best five; 0 for no answer.
    pub fn top5(&self) -> f64 {
        self.share(self.five)
    }

    /// Answers counted.
    pub fn total(&self) -> usize {
        self.total
    }

    fn share(&self, count: usize) -> f64 {
        count as f64 / self.total.max(1) as f64
    }
}
