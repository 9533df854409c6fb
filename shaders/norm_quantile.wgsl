// norm_quantile: the quantile of each image's patch norms with linear
// interpolation between ranks (NumPy's and PyTorch's default), and the outliers.
//
//   h = q (P - 1), k = floor(h)
//   threshold[b] = n_(k) + (n_(k+1) - n_(k)) (h - k),  n_(k) the k-th smallest norm
//   mask[b, i] = 1 where norms[b, i] > threshold[b], else 0
//   count[b] = sum_i mask[b, i]
//
// Input:  norms [B, P], f32, not negative; `rank` = k and `weight` = h - k.
// Output: thresholds [B], mask [B, P], counts [B], f32.
//
// One workgroup takes one image. The order statistics are exact: a radix select
// on the bits of the norms, which order like the norms as none is negative.

#import spread

struct Params {
    images: u32,
    patches: u32,
    rank: u32,
    weight: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> norms: array<f32>;
@group(0) @binding(2) var<storage, read_write> thresholds: array<f32>;
@group(0) @binding(3) var<storage, read_write> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<f32>;

// Values of eight bits; an invocation clears one.
const BINS: u32 = 256u;
const WORKGROUP: u32 = BINS;

var<workgroup> histogram: array<atomic<u32>, BINS>;
// Leading bits of the wanted norm, found eight at a time.
var<workgroup> found: u32;
// Rank of the wanted norm among those with the same leading bits.
var<workgroup> rank_left: u32;
// How many norms have all the same bits.
var<workgroup> equal: u32;
var<workgroup> next_bits: atomic<u32>;
var<workgroup> above: atomic<u32>;

fn bits_of(index: u32) -> u32 {
    return bitcast<u32>(norms[index]) & 0x7fffffffu;
}

@compute @workgroup_size(WORKGROUP)
fn norm_quantile(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image = piece_of(group, groups);
    if image >= params.images {
        return;
    }
    let start = image * params.patches;
    if lane == 0u {
        found = 0u;
        rank_left = params.rank;
        atomicStore(&next_bits, 0xffffffffu);
        atomicStore(&above, 0u);
    }
    for (var pass_index = 0u; pass_index < 4u; pass_index = pass_index + 1u) {
        let shift = 24u - 8u * pass_index;
        atomicStore(&histogram[lane], 0u);
        workgroupBarrier();
        let known = found;
        for (var i = lane; i < params.patches; i = i + WORKGROUP) {
            let bits = bits_of(start + i);
            // Shifting by 32 is not defined, so the known part takes two shifts.
            if ((bits >> shift) >> 8u) == ((known >> shift) >> 8u) {
                atomicAdd(&histogram[(bits >> shift) & (BINS - 1u)], 1u);
            }
        }
        workgroupBarrier();
        if lane == 0u {
            var bin = 0u;
            var left = rank_left;
            var here = atomicLoad(&histogram[0]);
            while left >= here && bin < BINS - 1u {
                left = left - here;
                bin = bin + 1u;
                here = atomicLoad(&histogram[bin]);
            }
            found = found | (bin << shift);
            rank_left = left;
            equal = here;
        }
        workgroupBarrier();
    }

    let lower_bits = found;
    for (var i = lane; i < params.patches; i = i + WORKGROUP) {
        let bits = bits_of(start + i);
        if bits > lower_bits {
            atomicMin(&next_bits, bits);
        }
    }
    workgroupBarrier();
    let lower = bitcast<f32>(lower_bits);
    var threshold = lower;
    let next = atomicLoad(&next_bits);
    if params.weight > 0.0 && rank_left + 1u >= equal && next != 0xffffffffu {
        threshold = lower + (bitcast<f32>(next) - lower) * params.weight;
    }
    var mine = 0u;
    for (var i = lane; i < params.patches; i = i + WORKGROUP) {
        let over = norms[start + i] > threshold;
        mask[start + i] = select(0.0, 1.0, over);
        mine = mine + select(0u, 1u, over);
    }
    atomicAdd(&above, mine);
    workgroupBarrier();
    if lane == 0u {
        thresholds[image] = threshold;
        counts[image] = f32(atomicLoad(&above));
    }
}
