//! The WGSL shaders: portable, equal to burn and to f64 on software Vulkan, and
//! clear about what they cannot do.

mod agreement;
mod colours;
mod faults;
mod forward;
mod gated;
mod large;
mod order;
mod portable;
mod reference;
mod step;
mod support;
