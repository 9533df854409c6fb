//! Equality with the reference implementation's numbers, on the CPU backend and
//! on a GPU: software Vulkan, or the one that `SINGER_TEST_DEVICE` names (`gpu`).
//! `SINGER_GOLDEN` names another folder of the same layout.

#[macro_use]
mod golden;

mod baselines;
mod closed;
mod mapping;
mod maps;
mod metrics;
mod positions;
mod preprocess;
mod probe;
mod singer;
mod training;
mod treatments;
mod vit;
