//! See `checks::path_normaliser`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::checks::path_normaliser::check(data));
