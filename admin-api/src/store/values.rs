//! Our values as SQLite has them.

use std::fmt::Write;

use kernel::tier::Tier;
use kernel::time::Timestamp;
use rusqlite::ToSql;
use rusqlite::types::FromSql;
use rusqlite::types::FromSqlError;
use rusqlite::types::FromSqlResult;
use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef;

/// A moment, in milliseconds.
pub(crate) struct Millis(pub(crate) Timestamp);

impl ToSql for Millis {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Number(self.0.as_millis()).whole()
    }
}

impl FromSql for Millis {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let Number(millis) = Number::column_result(value)?;
        Ok(Self(Timestamp::from_millis(millis)))
    }
}

/// A number that is never negative and fits SQLite's 63 bits.
pub(crate) struct Number(pub(crate) u64);

impl Number {
    fn whole(&self) -> rusqlite::Result<ToSqlOutput<'static>> {
        // A moment 292 million years off is as good as the farthest that fits.
        Ok(ToSqlOutput::from(i64::try_from(self.0).unwrap_or(i64::MAX)))
    }
}

impl ToSql for Number {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.whole()
    }
}

impl FromSql for Number {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let number = u64::try_from(number).map_err(|_| FromSqlError::OutOfRange(number))?;
        Ok(Self(number))
    }
}

/// A tier's name.
pub(crate) struct TierName(pub(crate) Tier);

impl FromSql for TierName {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Tier::parse(value.as_str()?).map(Self).map_err(|e| FromSqlError::Other(Box::new(e)))
    }
}

/// Scopes, separated by single spaces.
pub(crate) struct Scopes(pub(crate) Vec<String>);

impl ToSql for Scopes {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.join(" ")))
    }
}

impl FromSql for Scopes {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let words = value.as_str()?.split_ascii_whitespace();
        Ok(Self(words.map(str::to_owned).collect()))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
