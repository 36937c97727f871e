//! Moments, in any shape that a database of SQLAlchemy's leaves them in.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kernel::time::Timestamp;

/// From here on a number counts milliseconds: in seconds it would be the year 5138.
const MILLIS_FROM: f64 = 1e11;

/// Reads a moment: `2025-01-01 12:00:00.000000` (UTC where nothing else is said), the same with `T`
/// and an offset, a date alone, or seconds since 1970 (milliseconds, where it is that many).
/// `None`: it is no moment since 1970.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if is_number {
        let number: f64 = text.parse().ok()?;
        let millis = if number < MILLIS_FROM { number * 1000.0 } else { number };
        // A float beyond 64 bits becomes the farthest moment there is; a date would not be read.
        return (millis < u64::MAX as f64).then(|| Timestamp::from_millis(millis.round() as u64));
    }
    let with_offset = text.parse::<jiff::Timestamp>();
    let at = with_offset.or_else(|_| {
        let at: DateTime = text.parse()?;
        Ok::<_, jiff::Error>(at.to_zoned(TimeZone::UTC)?.timestamp())
    });
    u64::try_from(at.ok()?.as_millisecond()).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-01-01T12:00:00Z.
    const NOON: u64 = 1_735_732_800_000;

    #[test]
    fn a_moment_is_read_in_every_shape_it_is_left_in() {
        for text in [
            "2025-01-01 12:00:00.000000",
            "2025-01-01 12:00:00",
            "2025-01-01T12:00:00",
            "2025-01-01T12:00:00Z",
            "2025-01-01 12:00:00+00",
            "2025-01-01 12:00:00.000+00:00",
            "2025-01-01 14:00:00+02",
            "2025-01-01T06:30:00-05:30",
            "1735732800",
            "1735732800.0",
            "1735732800000",
            " 2025-01-01 12:00:00 ",
        ] {
            assert_eq!(moment(text).map(Timestamp::as_millis), Some(NOON), "{text}");
        }
        assert_eq!(moment("2025-01-01 12:00:00.123456").unwrap().as_millis(), NOON + 123);
        assert_eq!(moment("1735732800.5").unwrap().as_millis(), NOON + 500);
        assert_eq!(moment("2025-01-01").unwrap().as_millis(), NOON - 12 * 60 * 60 * 1000);
        assert_eq!(moment("0").unwrap().as_millis(), 0);
    }

    #[test]
    fn what_is_no_moment_since_1970_is_none() {
        for text in [
            "",
            "soon",
            "1969-12-31 23:59:59",
            "-1",
            "1e9",
            "infinity",
            "2025-13-01",
            "1.2.3",
            "NaN",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
        assert_eq!(moment(&"9".repeat(40)), None);
    }
}
