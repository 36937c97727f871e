//! The table of acts: who did what to whom, and what came of it.

use kernel::time::Timestamp;

use super::fault::DbError;
use super::sql::Row;
use super::sql::Sql;
use super::sql::Tx;
use super::values::Value;
use super::values::params;

/// One act, as it stands in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// A UUID of version 7: in order of time.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// What was done, such as `user.disabled`.
    pub action: String,
    /// What came of it: `success` or `failure`.
    pub outcome: String,
    /// Who did it; `None`: nobody that is known, or the command line.
    pub actor_id: Option<String>,
    /// Their name then, or how the act came about.
    pub actor_name: Option<String>,
    /// To whom.
    pub target_id: Option<String>,
    /// Their name then.
    pub target_name: Option<String>,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// The client's address.
    pub client: Option<String>,
    /// What was changed, for people.
    pub detail: Option<String>,
}

const COLUMNS: &str = "id, at, action, outcome, actor_id, actor_name, target_id, target_name, \
                       request_id, client, detail";

/// Adds an act, within the transaction of whatever it did.
///
/// # Errors
/// [`DbError`].
pub(crate) fn add(tx: &Tx<'_>, act: &Act) -> Result<(), DbError> {
    tx.execute(
        &format!(
            "INSERT INTO audit ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ),
        params![
            &act.id,
            act.at,
            &act.action,
            &act.outcome,
            act.actor_id.as_deref(),
            act.actor_name.as_deref(),
            act.target_id.as_deref(),
            act.target_name.as_deref(),
            act.request_id.as_deref(),
            act.client.as_deref(),
            act.detail.as_deref(),
        ],
    )?;
    Ok(())
}

/// Which acts are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct ActFilter {
    /// Those before this id; `None`: from the newest.
    pub before: Option<String>,
    /// Those of this person.
    pub actor_id: Option<String>,
    /// Those done to this person.
    pub target_id: Option<String>,
    /// Those called so.
    pub action: Option<String>,
}

/// The newest acts first, at most `limit`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn list(sql: &Sql<'_>, filter: &ActFilter, limit: u32) -> Result<Vec<Act>, DbError> {
    // Conditions that do not matter are left out, so that an index serves those that do.
    let wanted = [
        ("id <", &filter.before),
        ("actor_id =", &filter.actor_id),
        ("target_id =", &filter.target_id),
        ("action =", &filter.action),
    ];
    let mut conditions = String::from("1 = 1");
    let mut values = vec![Value::from(limit)];
    for (condition, value) in wanted {
        if let Some(value) = value {
            values.push(value.into());
            conditions.push_str(&format!(" AND {condition} ?{}", values.len()));
        }
    }
    let list = format!("SELECT {COLUMNS} FROM audit WHERE {conditions} ORDER BY id DESC LIMIT ?1");
    sql.rows(&list, &values, read)
}

/// Forgets at most `limit` acts from before `before`; gives how many.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget(tx: &Tx<'_>, before: Timestamp, limit: u32) -> Result<u64, DbError> {
    tx.execute(
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 LIMIT ?2)",
        params![before, limit],
    )
}

fn read(row: &Row<'_>) -> Result<Act, DbError> {
    Ok(Act {
        id: row.text("id")?,
        at: row.millis("at")?,
        action: row.text("action")?,
        outcome: row.text("outcome")?,
        actor_id: row.opt_text("actor_id")?,
        actor_name: row.opt_text("actor_name")?,
        target_id: row.opt_text("target_id")?,
        target_name: row.opt_text("target_name")?,
        request_id: row.opt_text("request_id")?,
        client: row.opt_text("client")?,
        detail: row.opt_text("detail")?,
    })
}
