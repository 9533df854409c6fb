use burn::tensor::Tensor;

/// The Gaussian weight of a direct neighbour at σ = 1 patch; that of a diagonal one is its
/// square.
const NEXT: f64 = 0.606_530_659_712_633_4; // exp(-1/2)

/// Mean of each patch's 3×3 neighbours, with Gaussian weights (σ = 1 patch), the patch itself
/// left out: `[B, P, D] -> [B, P, D]`. `counted`, `[B, P, 1]`, is 1 for patches that count and
/// 0 for the others; where no neighbour counts, the image's mean over those that do stands in.
/// `grid` is the number of patches along height and width.
pub(super) fn neighbour_mean(
    patches: Tensor<3>,
    counted: Tensor<3>,
    [rows, columns]: [usize; 2],
) -> Tensor<3> {
    let [batch, count, dim] = patches.dims();
    let sums = |values: Tensor<3>| {
        let width = values.dims()[2];
        let image = values.clone().reshape([batch, rows, columns, width]);
        let blurred = spread(spread(image, 1), 2);
        blurred.reshape([batch, count, width]) - values
    };
    let known = patches * counted.clone();
    let weight = sums(counted.clone());
    let total = sums(known.clone());
    let mean = known.sum_dim(1) / counted.sum_dim(1).clamp_min(1.0);
    // Rounding may leave a little of a weight of zero.
    let alone = weight.clone().lower_elem(1e-3).expand([batch, count, dim]);
    let near = total / weight.clamp_min(1e-3);
    near.mask_where(alone, mean.expand([batch, count, dim]))
}

/// Adds each element's neighbours along a dimension, weighted; zeros lie beyond the edges.
fn spread(image: Tensor<4>, along: usize) -> Tensor<4> {
    let length = image.dims()[along];
    if length == 1 {
        return image;
    }
    let mut edge = image.dims();
    edge[along] = 1;
    let edge = Tensor::zeros(edge, &image.device());
    let before = image.clone().narrow(along, 0, length - 1);
    let after = image.clone().narrow(along, 1, length - 1);
    let before = Tensor::cat(vec![edge.clone(), before], along);
    let after = Tensor::cat(vec![after, edge], along);
    image + (before + after) * NEXT
}
