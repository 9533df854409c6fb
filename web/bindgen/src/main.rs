//! `singer-bindgen MODULE.wasm FOLDER` writes the JavaScript, the types and the module that a page loads.
//!
//! It does what wasm-bindgen's own command does, without that command's test runner and server, which
//! take longer to build. Cargo.lock keeps it at the version of the `wasm-bindgen` library.

use std::env;
use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(module), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: singer-bindgen MODULE.wasm FOLDER".into());
    };
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .omit_default_module_path(false)
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)?;
    Ok(())
}
