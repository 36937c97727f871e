//! Moments, as answers write them.

use kernel::time::Timestamp;

/// RFC 3339, in UTC.
pub(crate) fn written(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    at.to_string()
}
