use crate::normal;
use burn::tensor::{Device, Tensor};
use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use singer::Error;
use singer::refine::nullspace::{Basis, BasisKind, Linearised, Selection};
use singer::refine::{Sensitivity, drift};
use singer::vit::{VitConfig, init_weights};

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

/// A map of every token by one matrix, `[D, D]`.
fn linear_map(matrix: &Linearised, device: &Device) -> Tensor<3> {
    let rows: Vec<f32> = matrix.to_rows().into_iter().map(|entry| entry as f32).collect();
    let dim = matrix.dim();
    Tensor::<1>::from_data(rows.as_slice(), device).reshape([1, dim, dim])
}

fn projector(basis: &Basis) -> Mat<f64> {
    let (dim, rank, vectors) = (basis.dim(), basis.rank(), basis.to_rows());
    let vectors = Mat::from_fn(dim, rank, |i, j| vectors[i * rank + j]);
    &vectors * vectors.transpose()
}

#[test]
fn for_a_linear_map_the_basis_of_data_is_the_exact_one() {
    let (plain, dim, rank) = (Device::flex(), 12, 4);
    let matrix = random(dim, 8, 5);
    let map = linear_map(&matrix, &plain.clone().autodiff());
    let tokens = Tensor::<3>::zeros([8, 26, dim], &plain);
    let found = Sensitivity::of_map(|x| x.matmul(map.clone()), [Ok(tokens)], 1, 0).unwrap();
    let exact = Basis::select(&matrix, &selection(BasisKind::Smallest, rank), 0).unwrap();
    let basis = found.basis(rank).unwrap();
    // The nullspace is exact, however few the probes; the other values come near.
    assert!((projector(&basis) - projector(&exact)).norm_l2() < 1e-4);
    assert!(basis.residual < 1e-5 * basis.spectrum[0]);
    assert!((basis.spectrum[0] / exact.spectrum[0] - 1.0).abs() < 0.15);
    assert!(departure_from_orthonormal(&basis) < 1e-12);
}

#[test]
fn the_projector_of_data_converges_with_the_number_of_probes() {
    let (plain, dim, rank) = (Device::flex(), 10, 3);
    let matrix = random(dim, 40, 8);
    let exact = Basis::select(&matrix, &selection(BasisKind::Smallest, rank), 0).unwrap();
    let map = linear_map(&matrix, &plain.clone().autodiff());
    let apart = |images: usize| {
        let tokens = Tensor::<3>::zeros([images, 20, dim], &plain);
        let found = Sensitivity::of_map(|x| x.matmul(map.clone()), [Ok(tokens)], 0, 3).unwrap();
        (projector(&found.basis(rank).unwrap()) - projector(&exact)).norm_l2()
    };
    let (few, many) = (apart(2), apart(200));
    assert!(many < few / 4.0 && many < 0.1, "{few} {many}");
}

#[test]
fn what_layer_norm_takes_out_is_read_least_and_hardly_drifts() {
    let device = Device::flex();
    let config = VitConfig {
        img_size: [32, 32],
        patch_size: 8,
        embed_dim: 24,
        depth: 3,
        num_heads: 3,
        ..VitConfig::default()
    };
    let vit = init_weights(config.build(&device).unwrap(), 1);
    let image = normal([8, 3, 32, 32], 1.0, 2);
    let images = vec![image];
    for layer in [0, 2] {
        let basis = Sensitivity::of(&vit, layer, &images, 0).unwrap().basis(1).unwrap();
        // Equal steps in all channels are the mean that LayerNorm subtracts.
        let mean = basis.to_rows().iter().sum::<f64>() / 24.0_f64.sqrt();
        assert!(mean.abs() > 0.999, "{mean}");
        let still = drift(&vit, layer, &basis, &images, &[0.1, 3.0], 0).unwrap();
        assert!(still.iter().all(|drift| drift.touched < 1e-3 && drift.others < 1e-3), "{still:?}");
        let random = selection(BasisKind::Random, 4);
        let random = Basis::select(&Linearised::of(&vit.blocks[1]), &random, 1).unwrap();
        let moved = drift(&vit, layer, &random, &images, &[0.1, 3.0], 0).unwrap();
        assert!(moved[1].touched > 0.1 && moved[1].touched > moved[0].touched, "{moved:?}");
        assert!(moved[1].others < moved[1].touched);
    }
    assert!(matches!(Sensitivity::of(&vit, 3, &images, 0), Err(Error::NoSuchLayer { .. })));
    let none: Vec<Tensor<4>> = Vec::new();
    assert!(matches!(Sensitivity::of(&vit, 0, &none, 0), Err(Error::NoImages)));
    let rank = Sensitivity::of(&vit, 0, &images, 0).unwrap().basis(25);
    assert!(matches!(rank, Err(Error::Setting { setting: "rank", .. })));
    let data = Basis::select(&Linearised::of(&vit.blocks[1]), &selection(BasisKind::Data, 2), 1);
    assert!(matches!(data, Err(Error::Setting { setting: "basis", .. })));
}
