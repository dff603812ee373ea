//! See `checks::request_reading`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::checks::request_reading::check(data));
