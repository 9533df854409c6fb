//! The `singer` program; see `singer --help`.

use std::process::ExitCode;

// Tensors come and go by the megabyte at every operation; the system allocator
// hands each back to the kernel, which costs a seventh of a step on Linux.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    singer::cli::main()
}
