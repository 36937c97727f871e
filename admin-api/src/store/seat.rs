//! A connection as one thread of the crew holds it: a SQLite connection of its own, or a place at
//! the pool of Postgres.

use std::ops::Deref;
use std::sync::Arc;

use deadpool_postgres::Object;
use deadpool_postgres::Pool;
use deadpool_postgres::PoolError;
use rusqlite::Connection;
use rusqlite::TransactionBehavior;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::fault::DbError;
use super::fault::PostgresFault;
use super::sql::STATEMENT_BUDGET;
use super::sql::Sql;
use super::sql::Tx;

/// Begins a look at one moment. Whoever looks may take their time between two questions.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                        SET LOCAL idle_in_transaction_session_timeout = 0;
                        SET LOCAL TimeZone = 'UTC';
                        SET LOCAL DateStyle = 'ISO, YMD'";

/// What a database thread works with.
pub(crate) enum Seat {
    Sqlite(Connection),
    Postgres(PoolSeat),
}

/// A place at the pool, and the runtime that its connections live on.
#[derive(Clone)]
pub(crate) struct PoolSeat {
    pub(crate) pool: Pool,
    pub(crate) runtime: Arc<Drive>,
}

/// The runtime that connections live on. It may be dropped anywhere, also on another runtime.
pub(crate) struct Drive(Option<Runtime>);

impl Drive {
    /// Takes charge of `runtime`.
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self(Some(runtime))
    }
}

impl Deref for Drive {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("only `drop` takes it out")
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Seat {
    /// Runs `look`.
    ///
    /// # Errors
    /// What `look` gives; [`DbError`] of the database itself.
    pub(crate) fn read<T>(
        &mut self,
        look: impl FnOnce(&Sql<'_>) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        match self {
            Self::Sqlite(connection) => look(&Sql::sqlite(connection)),
            Self::Postgres(seat) => {
                let mut lent = seat.lend()?;
                let seen = look(&Sql::postgres(lent.client()?, &seat.runtime));
                lent.is_sound = seen.as_ref().err().is_none_or(|error| !error.is_passing());
                seen
            }
        }
    }

    /// Runs `look` on the database as it is at one moment, however long that takes; times are
    /// those of UTC, spelt as ISO 8601 has them.
    ///
    /// # Errors
    /// What `look` gives; [`DbError`] of the database itself.
    pub(crate) fn snapshot<T, E: From<DbError>>(
        &mut self,
        look: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Sqlite(connection) => {
                let open = connection.transaction().map_err(DbError::from)?;
                look(&Sql::sqlite(&open))
            }
            Self::Postgres(seat) => {
                // Not known to be sound afterwards: nobody else gets this connection, and the
                // server ends the transaction with it.
                let lent = seat.lend()?;
                let client = lent.client()?;
                Tx::begun(Sql::postgres(client, &seat.runtime)).batch(SNAPSHOT)?;
                look(&Sql::postgres(client, &seat.runtime))
            }
        }
    }

    /// Runs `act`, which is one statement: that is a transaction by itself.
    ///
    /// # Errors
    /// As [`Seat::read`].
    pub(crate) fn write_at_once<T>(
        &mut self,
        act: impl FnOnce(&Tx<'_>) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        match self {
            Self::Sqlite(connection) => act(&Tx::begun(Sql::sqlite(connection))),
            Self::Postgres(seat) => {
                let mut lent = seat.lend()?;
                let done = act(&Tx::begun(Sql::postgres(lent.client()?, &seat.runtime)));
                lent.is_sound = done.as_ref().err().is_none_or(|error| !error.is_passing());
                done
            }
        }
    }

    /// Runs `act` in a transaction, which is committed if `act` succeeds.
    ///
    /// # Errors
    /// What `act` gives, after which nothing was changed; [`DbError`] of the database itself.
    pub(crate) fn write<T, E: From<DbError>>(
        &mut self,
        act: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Sqlite(connection) => {
                // IMMEDIATE: a transaction that reads before it writes would fail at the write
                // if another process wrote in between.
                let open = connection.transaction_with_behavior(TransactionBehavior::Immediate);
                let open = open.map_err(DbError::from)?;
                let done = act(&Tx::begun(Sql::sqlite(&open)))?;
                open.commit().map_err(DbError::from)?;
                Ok(done)
            }
            Self::Postgres(seat) => {
                let mut lent = seat.lend()?;
                let tx = Tx::begun(Sql::postgres(lent.client()?, &seat.runtime));
                tx.batch("BEGIN")?;
                let done = act(&tx);
                let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
                let ended = tx.batch(end);
                lent.is_sound = ended.is_ok();
                // Where the rollback fails too, the first fault says more.
                let done = done?;
                ended?;
                Ok(done)
            }
        }
    }
}

impl PoolSeat {
    fn lend(&self) -> Result<Lent, DbError> {
        // A runtime of one's own has no clock to stop the pool at; this one has.
        let got = self.runtime.block_on(async { timeout(STATEMENT_BUDGET, self.pool.get()).await });
        match got {
            Ok(Ok(object)) => Ok(Lent { object: Some(object), is_sound: false }),
            Ok(Err(PoolError::Backend(error))) => Err(unreachable(error)),
            Ok(Err(error)) => {
                Err(DbError::Unreachable(PostgresFault::of_the_wire(error.to_string())))
            }
            Err(_) => Err(DbError::Unreachable(PostgresFault::late())),
        }
    }
}

/// Whatever keeps a connection from being made, the database is away for whoever asked it.
fn unreachable(error: tokio_postgres::Error) -> DbError {
    match DbError::from(error) {
        DbError::Postgres(fault) => DbError::Unreachable(fault),
        other => other,
    }
}

/// A connection on loan. One that is not known to be sound at the end, because an answer is
/// still under way or a transaction still open, does not go back to the pool.
struct Lent {
    object: Option<Object>,
    is_sound: bool,
}

impl Lent {
    fn client(&self) -> Result<&deadpool_postgres::ClientWrapper, DbError> {
        self.object.as_deref().ok_or(DbError::Lost)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.is_sound
        {
            drop(Object::take(object));
        }
    }
}
