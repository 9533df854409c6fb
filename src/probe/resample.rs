use std::array;

/// Bilinear resampling of maps with `align_corners = false` and without
/// antialiasing, as PyTorch's `interpolate`, and its adjoint, which carries
/// gradients back. Several resamplings in a row become one.
#[derive(Debug, Clone, PartialEq)]
pub struct Resample {
    from: [usize; 2],
    rows: Vec<Taps>,
    columns: Vec<Taps>,
}

/// The inputs that one output is the weighted sum of.
type Taps = Vec<(usize, f32)>;

impl Resample {
    /// From a map of `sizes[0]` `[H, W]` by way of the sizes between to the last.
    ///
    /// # Panics
    /// Where a side is 0 or there are fewer than two sizes.
    pub fn through(sizes: &[[usize; 2]]) -> Self {
        assert!(sizes.len() > 1, "from somewhere to somewhere");
        let [rows, columns] = array::from_fn(|axis| {
            let sides = sizes.iter().map(|size| size[axis]).collect::<Vec<_>>();
            sides
                .windows(2)
                .map(|pair| bilinear(pair[0], pair[1]))
                .reduce(|first, second| compose(&first, &second))
                .unwrap_or_default()
        });
        Self { from: sizes[0], rows, columns }
    }

    /// `[H, W]` of the input.
    pub fn from(&self) -> [usize; 2] {
        self.from
    }

    /// `[H, W]` of the output.
    pub fn to(&self) -> [usize; 2] {
        [self.rows.len(), self.columns.len()]
    }

    /// One row of the output: of `map`, `[H, W, C]` row-major, row `row` of
    /// `[H', W', C]` into `out`, `[W', C]`. `between` is overwritten.
    pub fn row(
        &self,
        map: &[f32],
        channels: usize,
        row: usize,
        between: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let width = self.from[1] * channels;
        between.clear();
        between.resize(width, 0.0);
        for &(from, weight) in &self.rows[row] {
            add_scaled(between, &map[from * width..][..width], weight);
        }
        out.fill(0.0);
        for (out, taps) in out.chunks_exact_mut(channels).zip(&self.columns) {
            for &(from, weight) in taps {
                add_scaled(out, &between[from * channels..][..channels], weight);
            }
        }
    }

    /// The adjoint of [`row`](Self::row): adds to `grad`, `[H, W, C]`, what the
    /// gradient `out` of one output row, `[W', C]`, means for the input.
    pub fn row_back(
        &self,
        grad: &mut [f32],
        channels: usize,
        row: usize,
        between: &mut Vec<f32>,
        out: &[f32],
    ) {
        let width = self.from[1] * channels;
        between.clear();
        between.resize(width, 0.0);
        for (out, taps) in out.chunks_exact(channels).zip(&self.columns) {
            for &(to, weight) in taps {
                add_scaled(&mut between[to * channels..][..channels], out, weight);
            }
        }
        for &(to, weight) in &self.rows[row] {
            add_scaled(&mut grad[to * width..][..width], between, weight);
        }
    }

    /// A whole map: `[H, W, C]` to `[H', W', C]`.
    pub fn apply(&self, map: &[f32], channels: usize) -> Vec<f32> {
        let [height, width] = self.to();
        let mut out = vec![0.0; height * width * channels];
        let mut between = Vec::new();
        for (row, out) in out.chunks_exact_mut(width * channels).enumerate() {
            self.row(map, channels, row, &mut between, out);
        }
        out
    }
}

fn add_scaled(sum: &mut [f32], values: &[f32], weight: f32) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += weight * value;
    }
}

/// torch's rule: pixel centres at halves, the edge repeated.
fn bilinear(from: usize, to: usize) -> Vec<Taps> {
    assert!(from > 0 && to > 0, "a side of no pixels");
    let scale = from as f32 / to as f32;
    let taps = |at: usize| {
        let place = ((at as f32 + 0.5) * scale - 0.5).max(0.0);
        let low = (place as usize).min(from - 1);
        let weight = place - low as f32;
        if low + 1 < from && weight > 0.0 {
            vec![(low, 1.0 - weight), (low + 1, weight)]
        } else {
            vec![(low, 1.0)]
        }
    };
    (0..to).map(taps).collect()
}

/// `first`, then `second`.
fn compose(first: &[Taps], second: &[Taps]) -> Vec<Taps> {
    let merged = |taps: &Taps| {
        let mut merged: Taps = Vec::new();
        for &(middle, outer) in taps {
            for &(from, inner) in &first[middle] {
                match merged.iter_mut().find(|(known, _)| *known == from) {
                    Some((_, weight)) => *weight += outer * inner,
                    None => merged.push((from, outer * inner)),
                }
            }
        }
        merged
    };
    second.iter().map(merged).collect()
}

/// The nearest value for each place of another size, by PyTorch's `nearest`:
/// `[H, W]` to `[H', W']`.
pub fn nearest<T: Copy>(values: &[T], from: [usize; 2], to: [usize; 2]) -> Vec<T> {
    // torch scales in f32, which decides where a place falls between two.
    let source = |at: usize, from: usize, to: usize| {
        ((at as f32 * (from as f32 / to as f32)) as usize).min(from - 1)
    };
    (0..to[0])
        .flat_map(|row| {
            let start = source(row, from[0], to[0]) * from[1];
            (0..to[1]).map(move |column| values[start + source(column, from[1], to[1])])
        })
        .collect()
}
