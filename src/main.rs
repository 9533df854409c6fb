//! The `singer` program; see `singer --help`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's option `purge_delay`, which its bindings give no name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // Tensors come and go by the megabyte at every operation. Handing each back
    // to the kernel and getting it zeroed anew costs a fifth of a step on Linux,
    // so freed memory stays with the process.
    //
    // SAFETY: an integer option, set before any other thread runs.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    singer::cli::main()
}
