//! What stands in tables, read again only where somebody wrote since.

use tokio::sync::watch;

use super::database::Database;
use super::fault::DbError;
use super::sql::Sql;

/// What one look at some tables finds.
pub(crate) struct Watched<T> {
    database: Database,
    written: watch::Receiver<()>,
    find: fn(&Sql<'_>) -> Result<T, DbError>,
    /// What the last look found, and the version of the data that the watching connection saw.
    seen: Option<(Option<i64>, T)>,
}

impl<T: Clone + Send + 'static> Watched<T> {
    /// What `find` finds in `database`; nothing yet.
    pub(crate) fn of(database: &Database, find: fn(&Sql<'_>) -> Result<T, DbError>) -> Self {
        Self { database: database.clone(), written: database.written(), find, seen: None }
    }

    /// How it stands.
    ///
    /// # Errors
    /// [`DbError`]; the next look reads.
    pub(crate) async fn look(&mut self) -> Result<T, DbError> {
        // Asked for itself: a database in memory has one connection, and the version speaks of
        // others. Marked before the look: what is written during it is looked for the next time.
        let is_written = self.written.has_changed().unwrap_or(true);
        self.written.mark_unchanged();
        // Taken away: after a look that fails, the next one reads.
        let seen = self.seen.take().filter(|_| !is_written);
        let find = self.find;
        let look = self.database.watch(move |sql| {
            // The version first: what is committed in between is looked for again.
            let version = sql.data_version()?;
            match seen {
                Some((seen, found)) if version.is_some() && seen == version => Ok((version, found)),
                _ => Ok((version, find(sql)?)),
            }
        });
        let (version, found) = look.await?;
        self.seen = Some((version, found.clone()));
        Ok(found)
    }
}
