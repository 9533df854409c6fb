use crate::normal;
use burn::tensor::{Device, Tensor};
use singer::refine::nullspace::{Basis, BasisKind, Linearised, Selection};
use singer::refine::{Adapter, TrainingFree};
use singer::tokens::{NormStats, patch_norms};

fn adapter(dim: usize, rank: usize, device: &Device) -> Adapter {
    let entry = |i: usize, j: usize| ((i * 7 + j * 3) % 11) as f64 - 5.0 + f64::from(i == j);
    let entries: Vec<f64> = (0..dim * dim).map(|at| entry(at / dim, at % dim)).collect();
    let matrix = Linearised::from_rows(&entries, dim);
    let selection = Selection { kind: BasisKind::Smallest, rank, threshold: 0.0, seed: 0 };
    Adapter::from_basis(&Basis::select(&matrix, &selection, 0).unwrap(), device)
}

fn largest(tensor: Tensor<3>) -> f32 {
    tensor.abs().max().into_scalar()
}

#[test]
fn a_new_adapter_doubles_the_nullspace_component_of_patches_and_leaves_the_prefix_alone() {
    let device = Device::flex();
    for (tokens, prefix, dim, rank) in [(2, 1, 3, 1), (6, 5, 9, 9), (50, 1, 16, 4)] {
        let features = normal([2, tokens, dim], 3.0, 1);
        let adapter = adapter(dim, rank, &device);
        let refined = adapter.forward(features.clone(), prefix);
        let fixed = |t: &Tensor<3>| t.clone().narrow(1, 0, prefix);
        assert_eq!(largest(fixed(&refined) - fixed(&features)), 0.0);

        let basis = adapter.down.val().unsqueeze::<3>();
        let patches = |t: &Tensor<3>| t.clone().narrow(1, prefix, tokens - prefix);
        let before = patches(&features).matmul(basis.clone());
        let after = patches(&refined).matmul(basis);
        assert!(largest(after - before.clone() * 2.0) <= 1e-4 * largest(before));
    }
}

#[test]
fn norms_skip_the_prefix_and_their_summary_counts_outliers() {
    let device = Device::flex();
    // Class token of norm 100, patches of norm 1, 1, 1 and 5.
    let rows = [[100.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [3.0, 4.0]];
    let tokens = Tensor::<2>::from_data(rows, &device).unsqueeze::<3>();
    let mut stats = NormStats::default();
    stats.add(patch_norms(tokens, 1)).unwrap();
    let summary = stats.summary().unwrap();
    assert!((summary.median - 1.0).abs() < 1e-6 && (summary.max - 5.0).abs() < 1e-6);
    assert!((summary.max_over_median - 5.0).abs() < 1e-5);
    assert_eq!((summary.outlier_share, summary.patches), (0.25, 4));
    assert!(NormStats::default().summary().is_none());
}

#[test]
fn the_closed_form_takes_a_share_of_the_nullspace_component_from_outliers_alone() {
    let device = Device::flex();
    let entry = |i: usize, j: usize| ((i * 5 + j * 3) % 7) as f64 + f64::from(i == j);
    let entries: Vec<f64> = (0..49).map(|at| entry(at / 7, at % 7)).collect();
    let matrix = Linearised::from_rows(&entries, 7);
    let selection = Selection { kind: BasisKind::Smallest, rank: 3, threshold: 0.0, seed: 0 };
    let basis = Basis::select(&matrix, &selection, 0).unwrap();
    let vectors = Adapter::from_basis(&basis, &device).down.val().unsqueeze::<3>();
    let tokens = normal([2, 6, 7], 3.0, 6);
    let outliers = [[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]];
    let mask = Tensor::<2>::from_data(outliers, &device);
    for share in [0.0, 0.5, 1.0] {
        let refined =
            TrainingFree::new(&basis, share, &device).forward(tokens.clone(), mask.clone(), 2);
        let row = |t: &Tensor<3>, image: usize, token: usize| {
            t.clone().narrow(0, image, 1).narrow(1, token, 1)
        };
        for (image, outliers) in outliers.iter().enumerate() {
            for token in 0..6 {
                let (before, after) = (row(&tokens, image, token), row(&refined, image, token));
                if token < 2 || outliers[token - 2] == 0.0 {
                    assert_eq!(largest(after - before), 0.0);
                    continue;
                }
                let inside = |t: Tensor<3>| t.matmul(vectors.clone());
                let kept = inside(before.clone()) * (1.0 - share);
                assert!(largest(inside(after.clone()) - kept) < 1e-5);
                let shift = after - before;
                let back = inside(shift.clone()).matmul(vectors.clone().swap_dims(1, 2));
                assert!(largest(shift - back) < 1e-5, "only inside the nullspace");
            }
        }
    }
}
