use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use singer::Error;
use singer::refine::nullspace::{Basis, BasisKind, Linearised, Selection};

fn random(dim: usize, inner: usize, seed: u64) -> Linearised {
    rows(&random_product(dim, inner, seed))
}

fn rows(matrix: &Mat<f64>) -> Linearised {
    let dim = matrix.nrows();
    let entries: Vec<f64> = (0..dim * dim).map(|i| matrix[(i / dim, i % dim)]).collect();
    Linearised::from_rows(&entries, dim)
}

fn random_product(dim: usize, inner: usize, seed: u64) -> Mat<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |rows, cols| Mat::from_fn(rows, cols, |_, _| rng.random_range(-1.0..1.0));
    draw(dim, inner) * draw(inner, dim)
}

fn selection(kind: BasisKind, rank: usize) -> Selection {
    Selection { kind, rank, threshold: 1.0, seed: 9 }
}

/// Largest entry of `N^T N` less the identity.
fn departure_from_orthonormal(basis: &Basis) -> f64 {
    let (dim, rank, vectors) = (basis.dim(), basis.rank(), basis.to_rows());
    let vectors = Mat::from_fn(dim, rank, |i, j| vectors[i * rank + j]);
    let gram = vectors.transpose() * &vectors;
    let entries = (0..gram.nrows()).flat_map(|i| (0..gram.ncols()).map(move |j| (i, j)));
    entries.map(|(i, j)| (gram[(i, j)] - f64::from(i == j)).abs()).fold(0.0, f64::max)
}

#[test]
fn the_smallest_basis_is_orthonormal_and_its_residual_is_the_rth_smallest_singular_value() {
    for (dim, inner, rank) in [(1, 4, 1), (7, 28, 3), (33, 132, 33), (64, 256, 8)] {
        let matrix = random(dim, inner, dim as u64);
        let basis = Basis::select(&matrix, &selection(BasisKind::Smallest, rank), 0).unwrap();
        assert!(departure_from_orthonormal(&basis) < 1e-12, "dim {dim}");
        assert!(basis.spectrum.is_sorted_by(|a, b| a >= b));
        let sigma = basis.spectrum[dim - rank];
        assert!((basis.residual - sigma).abs() <= 1e-11 * basis.spectrum[0], "dim {dim}");
    }
}

#[test]
fn an_exact_nullspace_is_found() {
    let matrix = random(40, 30, 3);
    let basis = Basis::select(&matrix, &selection(BasisKind::Smallest, 10), 0).unwrap();
    assert!(basis.residual <= 1e-12 * basis.spectrum[0]);
}

#[test]
fn too_few_small_singular_values_are_made_up_by_random_unit_vectors_and_counted() {
    let diagonal = [5.0, 4.0, 3.0, 2.0, 0.5, 0.1];
    let matrix = rows(&Mat::from_fn(6, 6, |i, j| if i == j { diagonal[i] } else { 0.0 }));
    let basis = Basis::select(&matrix, &selection(BasisKind::Threshold, 4), 0).unwrap();
    assert_eq!(basis.random_columns, 2);
    // The first of those below the threshold is the largest of them.
    assert!((basis.to_rows()[4 * 4].abs() - 1.0).abs() < 1e-12);
    for column in 0..4 {
        let norm: f64 = (0..6).map(|i| basis.to_rows()[i * 4 + column].powi(2)).sum();
        assert!((norm - 1.0).abs() < 1e-12);
    }
}

#[test]
fn impossible_ranks_and_weights_that_are_not_finite_are_errors() {
    let matrix = random(5, 20, 1);
    for rank in [0, 6] {
        let error = Basis::select(&matrix, &selection(BasisKind::Smallest, rank), 0);
        assert!(matches!(error, Err(Error::Setting { setting: "rank", .. })));
    }
    let mut damaged = random_product(5, 20, 1);
    damaged[(2, 2)] = f64::NAN;
    let error = Basis::select(&rows(&damaged), &selection(BasisKind::Smallest, 2), 7);
    assert!(matches!(error, Err(Error::Svd(7))));
}
