//! Claims about the library's parts that hold for any weights and shapes.

#[path = "library/gradients.rs"]
mod gradients;
