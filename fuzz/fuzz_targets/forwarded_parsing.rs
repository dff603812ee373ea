//! See `checks::forwarded_parsing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::checks::forwarded_parsing::check(data));
