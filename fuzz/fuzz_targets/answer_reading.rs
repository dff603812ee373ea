//! See `checks::answer_reading`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::checks::answer_reading::check(data));
