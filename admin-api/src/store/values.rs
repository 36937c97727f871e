//! Values on their way into a database, whichever it is.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write;

use bytes::BytesMut;
use kernel::secret::Secret;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use ring::digest::SHA256;
use ring::digest::digest;
use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef;
use tokio_postgres::types::IsNull;
use tokio_postgres::types::ToSql;
use tokio_postgres::types::Type;
use tokio_postgres::types::to_sql_checked;

/// A value of a column.
pub(crate) enum Value<'a> {
    Null,
    Number(i64),
    Flag(bool),
    Text(Cow<'a, str>),
}

impl Value<'_> {
    /// Whether it is a text that has a NUL in it.
    pub(crate) fn has_nul(&self) -> bool {
        matches!(self, Self::Text(text) if text.contains('\0'))
    }
}

/// The parameters of a statement, `?1` first.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::store::values::Value::from($value)),*]
    };
}
pub(crate) use params;

/// Scopes, kept as one text with single spaces between them.
pub(crate) struct Scopes<'a>(pub(crate) &'a [String]);

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a Secret> for Value<'a> {
    fn from(secret: &'a Secret) -> Self {
        Self::from(secret.expose())
    }
}

impl<'a> From<&'a Tier> for Value<'a> {
    fn from(tier: &'a Tier) -> Self {
        Self::from(tier.as_str())
    }
}

impl From<Scopes<'_>> for Value<'_> {
    fn from(scopes: Scopes<'_>) -> Self {
        Self::from(scopes.0.join(" "))
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value<'_> {
    /// Both databases have 63 bits for it.
    fn from(number: u64) -> Self {
        // A moment 292 million years off is as good as the farthest that fits.
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for Value<'_> {
    /// In milliseconds.
    fn from(at: Timestamp) -> Self {
        Self::from(at.as_millis())
    }
}

impl<'a, T> From<Option<T>> for Value<'a>
where
    Value<'a>: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Flag(flag) => ValueRef::Integer((*flag).into()),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

// Says nothing: it may be the hash of a password.
impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value")
    }
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            // As SQLite has it, in a copy.
            Self::Number(number) if *kind == Type::BOOL => (*number != 0).to_sql_checked(kind, out),
            Self::Number(number) => number.to_sql_checked(kind, out),
            Self::Flag(flag) => flag.to_sql_checked(kind, out),
            Self::Text(text) => text.as_ref().to_sql_checked(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // The value within says whether it fits; here only the kind of column is known.
        true
    }

    to_sql_checked!();
}

/// What is kept of a secret that somebody is to show, so that whoever reads the table can do nothing
/// with it: the SHA-256.
pub(crate) fn hashed(secret: &Secret) -> String {
    hex(digest(&SHA256, secret.expose().as_bytes()).as_ref())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
