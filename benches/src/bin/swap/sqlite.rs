//! On a file of SQLite.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use anyhow::ensure;
use benches::lanes::Lane;
use benches::people;
use rusqlite::Connection;
use rusqlite::OpenFlags;

use super::FILL;
use super::KID;
use super::Options;
use super::SWAP;
use super::TTL_MS;
use super::Turn;
use super::new_ids;
use super::now_ms;

/// One session, and the connection that writes.
pub(crate) struct Writer {
    connection: Connection,
    turn: Turn,
}

/// A new session, and the others that are asked for.
///
/// # Errors
/// SQLite's.
pub(crate) fn lane(options: &Options) -> anyhow::Result<Writer> {
    let connection = connect(Path::new(&options.database))?;
    fill(&connection, &new_ids()?, options.others)?;
    let ids = new_ids()?;
    fill(&connection, &ids, 1)?;
    let id = format!("{ids}1");
    let epoch = "SELECT epoch FROM sessions WHERE id = ?1";
    let epoch = connection.query_row(epoch, [&id], |row| row.get(0))?;
    Ok(Writer { connection, turn: Turn { id, generation: 0, epoch } })
}

/// As `store::open` of the admin API.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn fill(connection: &Connection, ids: &str, count: u32) -> anyhow::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let now = now_ms();
    let made = connection.execute(FILL, (ids, count, people::name(1), now, now + TTL_MS))?;
    ensure!(made == count as usize, "nobody is there to have sessions");
    Ok(())
}

impl Lane for Writer {
    async fn once(&mut self) -> anyhow::Result<()> {
        let (now, turn) = (now_ms(), &mut self.turn);
        let until = now + TTL_MS;
        let mut prepared = self.connection.prepare_cached(SWAP)?;
        let mut rows =
            prepared.query((&turn.id, turn.generation, now, until, turn.epoch, KID, until))?;
        let row = rows.next()?.context("the session did not move on")?;
        turn.generation = row.get("generation")?;
        // To the end: only then is it committed.
        ensure!(rows.next()?.is_none(), "more than one session moved on");
        Ok(())
    }
}
