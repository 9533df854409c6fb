use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Mean cross-entropy of logits `[B, C]` with class numbers, of which the share
/// `smoothing` of the probability is spread over all classes: `[1]`.
pub fn cross_entropy(logits: Tensor<2>, labels: &[usize], smoothing: f64) -> Tensor<1> {
    let [count, classes] = logits.dims();
    let target = class_numbers(labels, &logits.device()).one_hot::<2>(classes).float();
    let target = target * (1.0 - smoothing) + smoothing / classes as f64;
    -(log_softmax(logits, 1) * target).sum() / count as f64
}

/// Share of images whose class has the largest logit:
/// `[B, C]` to `[1]`.
pub fn hit_rate(logits: Tensor<2>, labels: &[usize]) -> Tensor<1> {
    let device = logits.device();
    let best = logits.argmax(1).squeeze_dim::<1>(1);
    best.equal(class_numbers(labels, &device)).float().mean()
}

/// `T² KL(teacher ‖ student)` of softened probabilities, mean over images
/// (Hinton et al. 2015): logits `[B, C]` twice to `[1]`. T² keeps the size of
/// gradients when the temperature changes.
pub fn soft_target_kl(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    let count = student.dims()[0] as f64;
    let student = log_softmax(student / temperature, 1);
    let teacher = log_softmax(teacher / temperature, 1);
    let divergence = teacher.clone().exp() * (teacher - student);
    divergence.sum() * (temperature * temperature / count)
}

fn class_numbers(labels: &[usize], device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
    Tensor::from_data(TensorData::new(numbers, [labels.len()]), device)
}
