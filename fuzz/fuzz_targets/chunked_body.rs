//! See `checks::chunked_body`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::checks::chunked_body::check(data));
