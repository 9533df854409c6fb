use burn::tensor::{Device, Int, Tensor, TensorData};

use super::transform::Normalise;

/// The pixels of a batch on the host, on their way to a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// Normalised, `[B, 3, H, W]` in row-major order: for the CPU, where the loader's threads
    /// have done it already.
    Normalised(Vec<f32>),
    /// As decoded, `[B, H, W, 3]`: for a GPU, which gets a quarter of the bytes and
    /// normalises them by itself.
    Bytes(Vec<u8>, Normalise),
}

impl Pixels {
    /// Normalised images of `size` pixels (`[H, W]`) on a device, `[B, 3, H, W]`. The two
    /// forms agree to rounding.
    pub fn to_device(self, [height, width]: [usize; 2], device: &Device) -> Tensor<4> {
        let image = 3 * height * width;
        match self {
            Self::Normalised(pixels) => {
                let count = pixels.len() / image;
                Tensor::from_data(TensorData::new(pixels, [count, 3, height, width]), device)
            }
            Self::Bytes(bytes, Normalise { mean, std }) => {
                let count = bytes.len() / image;
                let pixels = unpack(&bytes, device).reshape([count, height, width, 3]);
                let row =
                    |values: [f32; 3]| Tensor::<1>::from_data(values, device).reshape([1, 3, 1, 1]);
                let scale = row(std.map(|std| 1.0 / (255.0 * std)));
                let offset = row(std::array::from_fn(|channel| -mean[channel] / std[channel]));
                pixels.permute([0, 3, 1, 2]) * scale + offset
            }
        }
    }
}

/// Bytes as numbers 0 to 255, `[N]`. They travel as words of four, as not every GPU has
/// tensors of bytes.
fn unpack(bytes: &[u8], device: &Device) -> Tensor<1> {
    let mut words: Vec<i32> = Vec::with_capacity(bytes.len().div_ceil(4));
    let (whole, rest) = bytes.as_chunks::<4>();
    words.extend(whole.iter().map(|&word| i32::from_le_bytes(word)));
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        words.push(i32::from_le_bytes(word));
    }
    let count = words.len();
    let words = Tensor::<1, Int>::from_data(TensorData::new(words, [count]), device);
    let byte = |place: i32| {
        words.clone().bitwise_right_shift_scalar(8 * place).bitwise_and_scalar(255).float()
    };
    let numbers: Tensor<2> = Tensor::stack((0..4).map(byte).collect(), 1);
    numbers.reshape([4 * count]).narrow(0, 0, bytes.len())
}
