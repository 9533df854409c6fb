//! Files of torch.save: zip archives, the pickles before them, tar.

#![no_main]

mod loading;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| loading::load(bytes));
