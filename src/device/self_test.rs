//! One product on a device, compared with the CPU's: drivers are known whose matrix units
//! compute wrong, and autotune looks at time alone.

use burn::tensor::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::Device;
use crate::error::{Error, Result};
use crate::ops::{self, Precision};
use crate::readback;

/// Rows of the product.
const M: usize = 128;
/// Its columns.
const N: usize = 128;
/// Length of the sums: 512 is the shortest for which burn prefers matrix units.
const K: usize = 512;

/// A product that was compared with the CPU's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SelfTest {
    /// The precision of the factors.
    pub precision: Precision,
    /// The largest difference, over the root mean square of the true values.
    pub error: f64,
    /// The largest that rounding explains.
    pub allowed: f64,
}

impl SelfTest {
    /// Whether rounding explains all differences.
    pub fn passed(&self) -> bool {
        self.error <= self.allowed
    }
}

/// The precision of a run's products, after its self-tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TestedPrecision {
    /// What products are computed in.
    pub precision: Precision,
    /// The test that another precision failed, for which f32 stands in.
    pub failed: Option<SelfTest>,
}

impl Device {
    /// Multiplies two matrices in `precision` by the kernels of training, and compares with
    /// the CPU.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device computes nothing.
    pub fn self_test(&self, precision: Precision) -> Result<SelfTest> {
        let (left, right) = factors();
        let upload = |values: &[f32], shape: [usize; 2]| {
            Tensor::<1>::from_floats(values, self.burn()).reshape(shape)
        };
        let x = upload(&left, [M, K]);
        let x = precision.half().map_or(x.clone(), |half| x.cast(half));
        let product = ops::dense(x, upload(&right, [K, N]), Tensor::zeros([N], self.burn()));
        Ok(compare(precision, &readback::read(product)?, &multiply(&left, &right)))
    }

    /// The precision of a run: `wanted`, or f32 where the device computes wrong in `wanted`.
    ///
    /// # Errors
    /// [`Error::Device`] where it lacks `wanted`, or computes wrong in f32.
    pub fn tested_precision(&self, wanted: Precision) -> Result<TestedPrecision> {
        let refuse = |reason| Err(Error::Device { wanted: self.name().to_owned(), reason });
        if !self.capabilities().precisions.contains(&wanted) {
            return refuse(format!("it has no {wanted}"));
        }
        if self.is_cpu() {
            return Ok(TestedPrecision { precision: wanted, failed: None });
        }
        let plain = self.self_test(Precision::F32)?;
        if !plain.passed() {
            return refuse(format!("its driver computes wrong: {plain}"));
        }
        let half = match wanted {
            Precision::F32 => None,
            half => Some(self.self_test(half)?),
        };
        Ok(decide(wanted, half))
    }
}

/// The precision after the test of `wanted`, where it needs one of its own.
fn decide(wanted: Precision, test: Option<SelfTest>) -> TestedPrecision {
    let failed = test.filter(|test| !test.passed());
    let precision = if failed.is_some() { Precision::F32 } else { wanted };
    TestedPrecision { precision, failed }
}

impl std::fmt::Display for SelfTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { precision, error, allowed } = self;
        write!(
            f,
            "a product in {precision} is off by {error:.1e} of its values' size, and rounding explains {allowed:.0e}"
        )
    }
}

/// Factors that every precision holds exactly, so that sums and the result alone are rounded.
fn factors() -> (Vec<f32>, Vec<f32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut matrix = |rows: usize, columns: usize| -> Vec<f32> {
        (0..rows * columns).map(|_| rng.random_range(-128..=128) as f32 / 128.0).collect()
    };
    (matrix(M, K), matrix(K, N))
}

fn multiply(left: &[f32], right: &[f32]) -> Vec<f64> {
    let mut product = vec![0.0; M * N];
    for (row, out) in left.chunks(K).zip(product.chunks_mut(N)) {
        for (&x, w) in row.iter().zip(right.chunks(N)) {
            for (sum, &w) in out.iter_mut().zip(w) {
                *sum += f64::from(x) * f64::from(w);
            }
        }
    }
    product
}

fn compare(precision: Precision, found: &[f32], exact: &[f64]) -> SelfTest {
    let size = exact.iter().map(|value| value * value).sum::<f64>() / exact.len() as f64;
    // NaN stays: `f64::max` would drop it.
    let largest = found.iter().zip(exact).fold(0.0, |largest: f64, (&found, exact)| {
        let off = (f64::from(found) - exact).abs();
        if off > largest || off.is_nan() { off } else { largest }
    });
    // Half a unit in the last place of the largest values, about 4.5 times the mean, is 2e-3 in
    // f16 and 2e-2 in bfloat16; sums of that precision would be off by several times that.
    let allowed = match precision {
        Precision::F32 => 1e-4,
        Precision::F16 => 8e-3,
        Precision::Bf16 => 6e-2,
    };
    SelfTest { precision, error: largest / size.sqrt(), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Capabilities;

    fn product() -> (Vec<f32>, Vec<f64>) {
        let (left, right) = factors();
        let exact = multiply(&left, &right);
        (exact.iter().map(|&value| value as f32).collect(), exact)
    }

    #[test]
    fn a_product_with_one_wrong_value_fails_in_every_precision() {
        let (found, exact) = product();
        for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
            assert!(compare(precision, &found, &exact).passed());
            for wrong in [f32::NAN, f32::INFINITY, found[5000] + 2.0 * found[5000].abs().max(1.0)] {
                let mut found = found.clone();
                found[5000] = wrong;
                assert!(!compare(precision, &found, &exact).passed(), "{precision}, {wrong}");
            }
            let mut swapped = found.clone();
            swapped.swap(0, 1);
            assert!(!compare(precision, &swapped, &exact).passed(), "{precision}, swapped");
        }
    }

    #[test]
    fn a_product_rounded_to_a_precision_passes_in_it_and_not_in_a_finer_one() {
        let (found, exact) = product();
        let rounded = |bits: u32| -> Vec<f32> {
            let step = 1 << (23 - bits);
            let round = |value: &f32| f32::from_bits((value.to_bits() + step / 2) & !(step - 1));
            found.iter().map(round).collect()
        };
        let (f16, bf16) = (rounded(10), rounded(7));
        assert!(compare(Precision::F16, &f16, &exact).passed());
        assert!(!compare(Precision::F32, &f16, &exact).passed());
        assert!(compare(Precision::Bf16, &bf16, &exact).passed());
        assert!(!compare(Precision::F16, &bf16, &exact).passed());
    }

    #[test]
    fn a_precision_that_a_device_lacks_is_an_error_that_names_both() {
        let mut device = Device::cpu();
        let plain = Capabilities { precisions: vec![Precision::F32], ..Capabilities::cpu() };
        device.capabilities = plain.into();
        let error = device.tested_precision(Precision::Bf16).unwrap_err().to_string();
        assert!(error.contains(device.name()) && error.contains("no bf16"), "{error}");
    }

    #[test]
    fn a_half_that_is_computed_wrong_falls_back_to_f32_and_is_named() {
        let test = |error| SelfTest { precision: Precision::F16, error, allowed: 8e-3 };
        let wrong = decide(Precision::F16, Some(test(0.5)));
        assert_eq!(wrong, TestedPrecision { precision: Precision::F32, failed: Some(test(0.5)) });
        assert!(wrong.failed.unwrap().to_string().contains("a product in f16 is off by 5.0e-1"));
        let right = decide(Precision::F16, Some(test(1e-3)));
        assert_eq!(right, TestedPrecision { precision: Precision::F16, failed: None });
    }
}
