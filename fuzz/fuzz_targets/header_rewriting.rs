//! See `checks::header_rewriting`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::checks::header_rewriting::check(data));
