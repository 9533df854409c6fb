// What a shader reads at once: four values with the flag `by_four`, for which the host
// sees to it that widths and offsets are multiples of 4; else one.

#ifdef by_four
const WIDTH: u32 = 4u;
alias Value = vec4<f32>;

fn product(a: Value, b: Value) -> f32 {
    return dot(a, b);
}
#else
const WIDTH: u32 = 1u;
alias Value = f32;

fn product(a: Value, b: Value) -> f32 {
    return a * b;
}
#endif
