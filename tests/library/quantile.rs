use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use singer::distill::singer::{OutlierNorm, identity, outliers};
use singer::tokens::quantile;

fn sorted_quantile(row: &[f32], q: f64) -> f64 {
    let mut sorted: Vec<f64> = row.iter().map(|&value| value.into()).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = q * (row.len() - 1) as f64;
    let low = sorted[rank.floor() as usize];
    low + (sorted[rank.ceil() as usize] - low) * rank.fract()
}

#[test]
fn quantiles_equal_those_of_a_sorted_row_also_with_ties_and_many_rows() {
    let device = Device::flex();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (rows, count) in [(1, 1), (3, 2), (5, 17), (2, 196), (40, 700), (1, 1369)] {
        for q in [0.0, 0.03, 0.5, 0.97, 1.0] {
            // Few distinct values, so that there are ties.
            let values: Vec<f32> =
                (0..rows * count).map(|_| rng.random_range(0..40) as f32 * 0.37).collect();
            let tensor =
                Tensor::<2>::from_data(TensorData::new(values.clone(), [rows, count]), &device);
            let ours = quantile(tensor, q).into_data();
            for (row, ours) in values.chunks(count).zip(ours.iter::<f64>()) {
                let expected = sorted_quantile(row, q);
                assert!(
                    (ours - expected).abs() <= 1e-5 * expected.max(1.0),
                    "{count} values, q {q}"
                );
            }
        }
    }
}

#[test]
fn the_outlier_loss_is_zero_and_has_no_nan_where_nothing_stands_out() {
    let device = Device::flex().autodiff();
    for tokens in [2, 5] {
        let zeros = Tensor::<3>::zeros([2, tokens, 4], &device).require_grad();
        let excess = outliers(zeros.clone(), 1, OutlierNorm::Quantile, 0.97).excess;
        let loss = excess.sum / excess.count.clamp_min(1.0);
        let grads = loss.backward();
        assert_eq!(loss.into_scalar::<f32>(), 0.0);
        let grad = zeros.grad(&grads).unwrap().into_data();
        assert!(grad.iter::<f32>().all(|value| value == 0.0));
    }
}

/// `[1, 6, 2]`: a class token, then patches of norms 1, 1, 2, 3 and 5; their median is 2.
fn norms_of_one_to_five(device: &Device, shift: f32) -> Tensor<3> {
    let values = [9.0, 9.0, 1.0, 0.0, 0.0, 1.0, 2.0, 0.0, 3.0, 0.0, 0.0, 5.0];
    let values: Vec<f32> = values.iter().map(|value| value + shift).collect();
    Tensor::from_data(TensorData::new(values, [1, 6, 2]), device)
}

#[test]
fn robust_outliers_are_above_twice_the_median_and_are_pulled_to_it() {
    let tokens = norms_of_one_to_five(&Device::flex(), 0.0);
    let excess = outliers(tokens, 1, OutlierNorm::Median, 0.97).excess;
    let [sum, count] = [excess.sum, excess.count].map(|value| value.into_scalar::<f32>());
    assert_eq!((sum, count), (9.0, 1.0), "5 is pulled to 2");
}

#[test]
fn the_identity_loss_is_of_the_patches_that_are_no_outliers() {
    let device = Device::flex();
    let (raw, refined) = (norms_of_one_to_five(&device, 0.0), norms_of_one_to_five(&device, 0.5));
    let kept = identity(refined, raw, 1);
    let [sum, count] = [kept.sum, kept.count].map(|value| value.into_scalar::<f32>());
    assert_eq!((sum, count), (4.0 * 0.25, 4.0), "all patches but the one of norm 5");
}
