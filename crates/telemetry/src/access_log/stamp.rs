//! Times as RFC 3339 writes them: UTC, with milliseconds.

use std::time::{SystemTime, UNIX_EPOCH};

/// The last second and its text: most records of a busy worker fall into the same one.
#[derive(Debug)]
pub(super) struct Stamp {
    second: u64,
    /// `2026-01-31T23:59:59`
    text: [u8; 19],
}

impl Stamp {
    pub(super) fn new() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00" }
    }

    /// Appends `time`. Before 1970 it is 1970, after 9999 the four digits of the year wrap.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second {
            (self.second, self.text) = (since.as_secs(), civil(since.as_secs()));
        }
        out.extend_from_slice(&self.text);
        let [m2, m1, m0] = [100, 10, 1].map(|unit| digit(u64::from(since.subsec_millis() / unit)));
        out.extend_from_slice(&[b'.', m2, m1, m0, b'Z']);
    }
}

/// The date and time of a second since 1970, after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`: years begin in March, so that the leap day is the last.
fn civil(second: u64) -> [u8; 19] {
    let (days, time) = (second / 86_400, second % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);

    let mut text = *b"0000-00-00T00:00:00";
    let parts =
        [(0, year / 100), (2, year), (5, month), (8, day), (11, time / 3600), (14, time / 60 % 60), (17, time % 60)];
    for (at, number) in parts {
        text[at] = digit(number / 10);
        text[at + 1] = digit(number);
    }
    text
}

/// The last decimal digit of a number.
const fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn stamp(time: SystemTime) -> String {
        let mut out = Vec::new();
        Stamp::new().write(&mut out, time);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_600_042, "2025-01-01T00:00:00.042Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(stamp(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
        assert_eq!(stamp(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn the_second_that_is_kept_is_the_second_that_is_meant(times in prop::collection::vec(0_u64..253_402_300_799_999, 1..20)) {
            let mut kept = Stamp::new();
            for millis in times {
                let time = UNIX_EPOCH + Duration::from_millis(millis);
                let mut out = Vec::new();
                kept.write(&mut out, time);
                prop_assert_eq!(String::from_utf8(out).unwrap(), humantime::format_rfc3339_millis(time).to_string());
            }
        }
    }
}
