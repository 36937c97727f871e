//! Taking over the people of another system.
//!
//! The source is read on a thread of its own and never written to. What comes is decided about and
//! written in batches, each in one transaction: an import that is interrupted leaves whole batches,
//! and another run goes on from there, since whoever is here already is not added again.
//!
//! Modules in reading order; each uses only those above it.

pub(crate) mod fault;

mod moment;

mod arrival;

mod lines;

mod decision;

use std::io;
use std::io::BufRead;

use kernel::revocation::Entry;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use tokio::sync::mpsc;

use self::arrival::Told;
use self::decision::Decision;
use self::decision::Difference;
use self::decision::Seen;
use self::decision::Tiers;
use self::decision::decide;
use self::fault::ImportError;
use self::fault::ROWS_MAX;
use self::lines::Lines;
use super::audit::Deed;
use super::audit::note;
use super::changes::record_override;
use super::users::Users;
use crate::store::alone::Alone;
use crate::store::fault::DbError;
use crate::store::old_people;
use crate::store::revocations;
use crate::store::sessions;
use crate::store::sessions::End;
use crate::store::sql::Room;
use crate::store::sql::Sql;
use crate::store::sql::Tx;
use crate::store::sql::pages::PAGE_ROWS_MAX;
use crate::store::users::User;
use crate::store::users::import::overwrite;
use crate::store::users::import::take_in;

/// How many rows are decided about, and written, in one transaction.
const BATCH_ROWS_MAX: usize = PAGE_ROWS_MAX;

/// How many faults, and how many differences, are told one by one; the others are counted.
pub(crate) const TOLD_MAX: usize = 100;

/// Where people come from.
pub enum ImportSource {
    /// The database of the deployment that is replaced, with SQLAlchemy's tables.
    OldDeployment(config::Database),
    /// Lines of JSON, one object each.
    JsonLines(Box<dyn BufRead + Send>),
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is only said what would be.
    DryRun,
    /// It is done.
    Kept,
}

/// What becomes of somebody who is here already, and said to be otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// They stay as they are here, and are told.
    Told,
    /// They become as they are said to be.
    Updated,
}

/// How people are taken over.
#[derive(Clone, Debug)]
pub struct Import {
    /// Whether anything is written.
    pub mode: Mode,
    /// What becomes of differences.
    pub changed: Changed,
    /// The tier of those of whom none is said.
    pub unsaid_tier: Tier,
    /// The tier of those whose tier is not configured here; `None`: they are refused.
    pub unknown_tier: Option<Tier>,
}

/// What an import did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// How many are new.
    pub added: u64,
    /// How many are here as they are said to be.
    pub unchanged: u64,
    /// How many are now as they are said to be.
    pub updated: u64,
    /// How many are said to be otherwise, and stayed as they are here.
    pub different: u64,
    /// How many were refused.
    pub refused: u64,
    /// Who was updated, or is different, and in what: the first hundred.
    pub differences: Vec<String>,
    /// Who was refused, and why: the first hundred.
    pub faults: Vec<String>,
}

impl Users {
    /// Takes people over.
    ///
    /// Whoever is here already (by id, or by user name where no id is said) stays, or is changed
    /// where `import` says so: that is in force at every edge as any other change. A password that
    /// was set, or used, here is never replaced.
    ///
    /// # Errors
    /// [`ImportError`]: it ended early. People who cannot be taken over are no error; the report
    /// names them.
    pub async fn import(
        &self,
        source: ImportSource,
        import: Import,
    ) -> Result<ImportReport, ImportError> {
        for tier in [Some(&import.unsaid_tier), import.unknown_tier.as_ref()].into_iter().flatten()
        {
            self.check_tier(tier).map_err(ImportError::Tier)?;
        }
        let (give, mut batches) = mpsc::channel(1);
        let reader = tokio::task::spawn_blocking(move || read(source, &give));
        let (seen, report) = (Seen::default(), ImportReport::default());
        let mut clerk = Clerk { people: self.clone(), import, seen, report };
        while let Some(batch) = batches.recv().await {
            clerk = clerk.take(batch).await?;
        }
        reader.await.map_err(|_| ImportError::Lost)??;
        Ok(clerk.report)
    }
}

/// Reads everybody, and gives them away in batches; stops where nobody takes them any more.
fn read(source: ImportSource, give: &mpsc::Sender<Vec<Told>>) -> Result<(), ImportError> {
    match source {
        ImportSource::OldDeployment(database) => {
            let Alone { mut seat, place } = Alone::to_read(&database)?;
            seat.snapshot(|sql| read_deployment(sql, &place, give)).map_err(|stop| match stop {
                Stop::Fault(error) => error,
                Stop::Database(error) => ImportError::Source(error),
            })
        }
        ImportSource::JsonLines(reader) => {
            let mut lines = Lines::of(reader);
            loop {
                let batch = lines.by_ref().take(BATCH_ROWS_MAX).collect::<io::Result<Vec<_>>>()?;
                if batch.is_empty() || give.blocking_send(batch).is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Why the reading of a database ends early.
enum Stop {
    Database(DbError),
    Fault(ImportError),
}

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

fn read_deployment(sql: &Sql<'_>, place: &str, give: &mpsc::Sender<Vec<Told>>) -> Result<(), Stop> {
    let columns = old_people::columns(sql, "users")?;
    let has = |name: &str| columns.iter().any(|column| column == name);
    let place = place.to_owned();
    if columns.is_empty() {
        return Err(Stop::Fault(ImportError::NoTable { place }));
    }
    let lacks = if has("id") { "username` or `email" } else { "id" };
    if !has("id") || !(has("username") || has("email")) {
        return Err(Stop::Fault(ImportError::NoColumn { place, column: lacks }));
    }
    old_people::users(sql, &columns, |page| {
        let batch = page.into_iter().map(Told::of).collect();
        // Whoever takes them no more has a fault to tell, which this one would hide.
        give.blocking_send(batch).map_err(|_| Stop::Fault(ImportError::Lost))
    })
}

/// Whoever decides, writes, and counts.
struct Clerk {
    people: Users,
    import: Import,
    seen: Seen,
    report: ImportReport,
}

impl Clerk {
    async fn take(self, batch: Vec<Told>) -> Result<Self, ImportError> {
        let database = self.people.desk.database.clone();
        let now = self.people.desk.clock.now();
        let done = match self.import.mode {
            Mode::DryRun => database.read(move |sql| self.try_batch(sql, batch, now)).await,
            Mode::Kept => database.write(move |tx| self.keep_batch(tx, batch, now)).await,
        }?;
        let rows = &done.report;
        let rows = rows.added + rows.unchanged + rows.updated + rows.different + rows.refused;
        if rows > ROWS_MAX { Err(ImportError::TooMany) } else { Ok(done) }
    }

    fn try_batch(
        mut self,
        sql: &Sql<'_>,
        batch: Vec<Told>,
        now: Timestamp,
    ) -> Result<Self, DbError> {
        for told in batch {
            let (at, decision) = self.decide(sql, told, now)?;
            self.count(&at, &decision);
        }
        Ok(self)
    }

    fn keep_batch(
        mut self,
        tx: &Tx<'_>,
        batch: Vec<Told>,
        now: Timestamp,
    ) -> Result<Self, DbError> {
        tx.alone_in(Room::Names)?;
        let mut changed = Vec::new();
        for told in batch {
            let (at, decision) = self.decide(tx, told, now)?;
            self.count(&at, &decision);
            match decision {
                Decision::Add(user, hash) => take_in(tx, &user, hash.as_ref(), now)?,
                Decision::Differ(difference) if self.import.changed == Changed::Updated => {
                    changed.push(change(tx, *difference, now)?);
                }
                Decision::Differ(_) | Decision::Keep | Decision::Refuse(_) => {}
            }
        }
        let ImportReport { added, updated, .. } = self.report;
        let so_far = format!("{added} added and {updated} updated so far");
        note(tx, &self.people.origin, Deed::PeopleImported, None, Some(so_far), now)?;
        // The counter of revocations comes last, after all rows of people and sessions.
        let until = self.people.desk.issuer.all_until(now);
        for (user, is_shut_out) in &changed {
            if *is_shut_out {
                let (user_id, min_epoch) = (user.id.clone(), user.epoch);
                revocations::record(tx, &Entry::UserEpoch { user_id, min_epoch, until }, now)?;
            }
            record_override(tx, &self.people.desk.roles, user, now, until)?;
        }
        Ok(self)
    }

    fn decide(
        &mut self,
        sql: &Sql<'_>,
        told: Told,
        now: Timestamp,
    ) -> Result<(String, Decision), DbError> {
        let Told { at, who } = told;
        let tiers =
            Tiers { unsaid: &self.import.unsaid_tier, unknown: self.import.unknown_tier.as_ref() };
        let decision = match who {
            Ok(who) => decide(sql, &self.people, &tiers, &mut self.seen, who, now)?,
            Err(fault) => Decision::Refuse(fault),
        };
        Ok((at, decision))
    }

    fn count(&mut self, at: &str, decision: &Decision) {
        let report = &mut self.report;
        let (list, line) = match decision {
            Decision::Add(..) => {
                report.added += 1;
                return;
            }
            Decision::Keep => {
                report.unchanged += 1;
                return;
            }
            Decision::Differ(difference) => {
                match self.import.changed {
                    Changed::Told => report.different += 1,
                    Changed::Updated => report.updated += 1,
                }
                let name = &difference.before.username;
                let line = format!("{at}: `{name}` differs in: {}", difference.fields.join(", "));
                (&mut report.differences, line)
            }
            Decision::Refuse(fault) => {
                report.refused += 1;
                (&mut report.faults, format!("{at}: {fault}"))
            }
        };
        if list.len() < TOLD_MAX {
            // It is shown to an operator, and may hold anything.
            list.push(line.replace(char::is_control, "\u{fffd}"));
        }
    }
}

/// Writes how somebody is said to be; gives them, and whether they are to be kept out from now on.
fn change(tx: &Tx<'_>, difference: Difference, now: Timestamp) -> Result<(User, bool), DbError> {
    let Difference { before, mut user, hash, .. } = difference;
    let is_shut_out = before.is_active && !user.is_active;
    if is_shut_out {
        user.epoch += 1;
        sessions::end_all(tx, &user.id, End::Disabled, now)?;
    }
    overwrite(tx, &user, hash.as_ref(), now)?;
    Ok((user, is_shut_out))
}
