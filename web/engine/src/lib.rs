//! The engine for browsers: patch-norm maps of a teacher, of its refined features
//! and of its student, on WebGPU or, where there is none, on the CPU.
//!
//! [`Singer`] is what JavaScript sees; `types.d.ts` says what it takes and gives.
#![cfg(target_family = "wasm")]

mod canvas;
mod closed;
mod error;
mod faults;
mod fit;
mod lesson;
mod model;
mod numbers;
mod picture;
mod seen;
mod singer;

pub use singer::Singer;

use std::sync::Once;

use wasm_bindgen::prelude::wasm_bindgen;

unsafe extern "C" {
    /// Made by the linker: runs the constructors of static data, which the kernel
    /// compiler's registries have.
    fn __wasm_call_ctors();
}

/// Runs once, when the module is instantiated. A module that does not call its
/// constructors itself is linked as a command, in which every call from JavaScript
/// runs all of them again: a millisecond each.
#[wasm_bindgen(start)]
fn construct() {
    static CONSTRUCTED: Once = Once::new();
    CONSTRUCTED.call_once(|| {
        // SAFETY: nothing else has run, and this is the only call.
        unsafe { __wasm_call_ctors() };
        console_error_panic_hook::set_once();
    });
}
