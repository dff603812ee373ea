//! See `checks::response_head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::checks::response_head::check(data));
