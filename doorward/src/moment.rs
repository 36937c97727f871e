//! Moments as people read them.

use kernel::time::Timestamp;

/// A moment as RFC 3339 writes it, in UTC; past the year 9999 its end.
pub(crate) fn written(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}
