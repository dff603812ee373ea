//! See `checks::client_hello`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::checks::client_hello::check(data));
