// What follows a linear layer of an MLP. Exponents are kept where exp is a finite
// number: compilers may take infinities for impossible.

// Abramowitz and Stegun 7.1.26, within 1.5e-7.
fn erf(x: vec4<f32>) -> vec4<f32> {
    let a = min(abs(x), vec4<f32>(9.0));
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - series * exp(-a * a));
}

// x Phi(x), Phi the normal distribution function.
fn gelu(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476));
}

fn gelu_tanh(x: vec4<f32>) -> vec4<f32> {
    let y = clamp(x, vec4<f32>(-20.0), vec4<f32>(20.0));
    let inside = 0.7978845608028654 * (y + 0.044715 * y * y * y);
    return 0.5 * x * (1.0 + tanh(clamp(inside, vec4<f32>(-10.0), vec4<f32>(10.0))));
}

// x sigmoid(1.702 x).
fn quick_gelu(x: vec4<f32>) -> vec4<f32> {
    let y = max(x, vec4<f32>(-50.0));
    return y / (1.0 + exp(-1.702 * y));
}

// x sigmoid(x).
fn silu(x: vec4<f32>) -> vec4<f32> {
    let y = max(x, vec4<f32>(-80.0));
    return y / (1.0 + exp(-y));
}
