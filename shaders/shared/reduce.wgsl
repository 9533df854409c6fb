// Reduces values over each LANES neighbouring invocations of a workgroup.
//
// Whoever imports it declares
//   const WORKGROUP: u32                             invocations
//   const LANES: u32                                 a power of two that divides WORKGROUP
//   alias Partial                                    what is reduced
//   fn combine(a: Partial, b: Partial) -> Partial

var<workgroup> partial: array<Partial, WORKGROUP>;

// The values of the invocations LANES r to LANES r + LANES - 1, combined, for the one
// of index `at` among them. Every invocation must call it. A second call needs a
// barrier before it, as results of the first may still be read.
fn reduce(value: Partial, at: u32) -> Partial {
    let lane = at % LANES;
    partial[at] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step = step / 2u) {
        if lane < step {
            partial[at] = combine(partial[at], partial[at + step]);
        }
        workgroupBarrier();
    }
    return partial[at - lane];
}
