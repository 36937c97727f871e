//! The people of a deployment that ours replaces: tables of SQLAlchemy's making, read and never
//! written.
//!
//! What a column holds differs from one deployment to the next (a UUID is a `uuid`, 36 characters or
//! 32; a time is a text or a number), so all are read as texts; columns that are not there are NULL.

use super::fault::DbError;
use super::sql::Row;
use super::sql::Sql;
use super::values::params;

/// A row of their table `users`, as it is.
#[derive(Debug, Default)]
pub(crate) struct OldUser {
    pub(crate) id: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) hashed_password: Option<String>,
    pub(crate) full_name: Option<String>,
    pub(crate) tier: Option<String>,
    pub(crate) role: Option<String>,
    /// `None` where there is no such column; NULL is no.
    pub(crate) is_active: Option<String>,
    /// As `is_active`.
    pub(crate) is_verified: Option<String>,
    pub(crate) last_login: Option<String>,
    pub(crate) created_at: Option<String>,
}

/// A row of their table `oauth_accounts`, as it is.
#[derive(Debug, Default)]
pub(crate) struct OldAccount {
    pub(crate) user_id: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) provider_user_id: Option<String>,
    pub(crate) created_at: Option<String>,
}

/// The columns of an account, the last of which not everybody has.
const OF_AN_ACCOUNT: [&str; 4] = ["user_id", "provider", "provider_user_id", "created_at"];

/// Which of our columns are texts there.
const TEXTS: [&str; 9] = [
    "id",
    "username",
    "email",
    "hashed_password",
    "full_name",
    "tier",
    "role",
    "last_login",
    "created_at",
];

/// Which of them are yes or no.
const FLAGS: [&str; 2] = ["is_active", "is_verified"];

/// The columns of `table`; none where there is no such table.
///
/// # Errors
/// [`DbError`].
pub(crate) fn columns(sql: &Sql<'_>, table: &str) -> Result<Vec<String>, DbError> {
    let sqlite = "SELECT name AS it FROM pragma_table_info(?1)";
    // The one that their statements mean, whatever its schema.
    let postgres = "SELECT attname::text AS it FROM pg_attribute
                    WHERE attrelid = to_regclass(?1) AND attnum > 0 AND NOT attisdropped";
    sql.rows(sql.either(sqlite, postgres), params![table], |row| row.text("it"))
}

/// Hands all users to `take`, a page at a time; `columns` are those that their table has.
///
/// # Errors
/// [`DbError`]; what `take` gives.
pub(crate) fn users<E: From<DbError>>(
    sql: &Sql<'_>,
    columns: &[String],
    take: impl FnMut(Vec<OldUser>) -> Result<(), E>,
) -> Result<(), E> {
    let has = |name: &str| columns.iter().any(|column| column == name);
    let text = |name: &&str| text_or_nothing(sql, columns, name);
    let flag = |name: &&str| match has(name) {
        true => format!("coalesce({}, 'false') AS {name}", as_text(sql, name)),
        false => format!("{} AS {name}", nothing(sql)),
    };
    let all = TEXTS.iter().map(text).chain(FLAGS.iter().map(flag)).collect::<Vec<_>>().join(", ");
    sql.pages(&format!("SELECT {all} FROM users ORDER BY 1"), read_user, take)
}

/// Hands all accounts at providers to `take`; `columns` are those that their table has.
///
/// # Errors
/// [`DbError`]; what `take` gives.
pub(crate) fn accounts<E: From<DbError>>(
    sql: &Sql<'_>,
    columns: &[String],
    take: impl FnMut(Vec<OldAccount>) -> Result<(), E>,
) -> Result<(), E> {
    let all = OF_AN_ACCOUNT.map(|name| text_or_nothing(sql, columns, name)).join(", ");
    sql.pages(&format!("SELECT {all} FROM oauth_accounts ORDER BY 1, 2, 3"), read_account, take)
}

fn text_or_nothing(sql: &Sql<'_>, columns: &[String], name: &str) -> String {
    match columns.iter().any(|column| column == name) {
        true => format!("{} AS {name}", as_text(sql, name)),
        false => format!("{} AS {name}", nothing(sql)),
    }
}

fn as_text(sql: &Sql<'_>, name: &str) -> String {
    // A UUID may be its sixteen bytes.
    let sqlite = format!(
        "CASE typeof(\"{name}\") WHEN 'blob' THEN lower(hex(\"{name}\"))
                                 ELSE CAST(\"{name}\" AS TEXT) END"
    );
    sql.either(sqlite, format!("\"{name}\"::text"))
}

fn nothing(sql: &Sql<'_>) -> &'static str {
    sql.either("NULL", "NULL::text")
}

fn read_user(row: &Row<'_>) -> Result<OldUser, DbError> {
    Ok(OldUser {
        id: row.opt_text("id")?,
        username: row.opt_text("username")?,
        email: row.opt_text("email")?,
        hashed_password: row.opt_text("hashed_password")?,
        full_name: row.opt_text("full_name")?,
        tier: row.opt_text("tier")?,
        role: row.opt_text("role")?,
        is_active: row.opt_text("is_active")?,
        is_verified: row.opt_text("is_verified")?,
        last_login: row.opt_text("last_login")?,
        created_at: row.opt_text("created_at")?,
    })
}

fn read_account(row: &Row<'_>) -> Result<OldAccount, DbError> {
    Ok(OldAccount {
        user_id: row.opt_text("user_id")?,
        provider: row.opt_text("provider")?,
        provider_user_id: row.opt_text("provider_user_id")?,
        created_at: row.opt_text("created_at")?,
    })
}
