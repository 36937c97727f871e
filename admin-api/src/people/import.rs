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

mod account;

mod source;

use kernel::revocation::Entry;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use tokio::sync::mpsc;

use self::account::AccountDecision;
use self::account::ToldAccount;
use self::account::decide_account;
use self::arrival::Told;
use self::decision::Decision;
use self::decision::Difference;
use self::decision::Seen;
use self::decision::decide;
use self::fault::ImportError;
use self::fault::ROWS_MAX;
use self::source::Batch;
pub use self::source::ImportSource;
use self::source::read;
use super::audit::Actor;
use super::audit::Deed;
use super::audit::note;
use super::changes::record_override;
use super::users::Users;
use crate::store::fault::DbError;
use crate::store::oauth_accounts;
use crate::store::oauth_accounts::Account;
use crate::store::revocations;
use crate::store::sessions;
use crate::store::sessions::End;
use crate::store::sql::Room;
use crate::store::sql::Sql;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::User;
use crate::store::users::import::overwrite;

/// How many faults, and how many differences, are told one by one; the others are counted.
pub(crate) const TOLD_MAX: usize = 100;

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

/// What becomes of people and accounts that were here, and were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// They are refused: what was removed here is still there in the system it came from.
    StayAway,
    /// They come back.
    Return,
}

/// How people are taken over.
#[derive(Clone, Debug)]
pub struct Import {
    /// Whether anything is written.
    pub mode: Mode,
    /// What becomes of differences.
    pub changed: Changed,
    /// What becomes of those that were removed here.
    pub removed: Removed,
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
    /// How many people, and accounts, were refused.
    pub refused: u64,
    /// How many accounts at providers are new.
    pub accounts_added: u64,
    /// How many accounts at providers are here.
    pub accounts_unchanged: u64,
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

/// Whoever decides, writes, and counts.
struct Clerk {
    people: Users,
    import: Import,
    seen: Seen,
    report: ImportReport,
}

impl Clerk {
    async fn take(self, batch: Batch) -> Result<Self, ImportError> {
        let database = self.people.desk.database.clone();
        let now = self.people.desk.clock.now();
        let done = match self.import.mode {
            Mode::DryRun => database.read(move |sql| self.try_batch(sql, batch, now)).await,
            Mode::Kept => {
                let keep = move |tx: &Tx<'_>| match batch {
                    Batch::People(batch) => self.keep_people(tx, batch, now),
                    Batch::Accounts(batch) => self.keep_accounts(tx, batch, now),
                };
                database.write(keep).await
            }
        }?;
        let rows = &done.report;
        let people = rows.added + rows.unchanged + rows.updated + rows.different;
        let rows = people + rows.accounts_added + rows.accounts_unchanged + rows.refused;
        if rows > ROWS_MAX { Err(ImportError::TooMany) } else { Ok(done) }
    }

    fn try_batch(mut self, sql: &Sql<'_>, batch: Batch, now: Timestamp) -> Result<Self, DbError> {
        match batch {
            Batch::People(batch) => {
                for told in batch {
                    let (at, decision) = self.decide(sql, told, now)?;
                    self.count(&at, &decision);
                }
            }
            Batch::Accounts(batch) => {
                for told in batch {
                    self.decide_account(sql, told, now)?;
                }
            }
        }
        Ok(self)
    }

    fn keep_people(
        mut self,
        tx: &Tx<'_>,
        batch: Vec<Told>,
        now: Timestamp,
    ) -> Result<Self, DbError> {
        tx.alone_in(Room::Names)?;
        let origin = &self.people.origin.clone();
        let before = (self.report.added, self.report.updated);
        let mut changed = Vec::new();
        for told in batch {
            let (at, decision) = self.decide(tx, told, now)?;
            self.count(&at, &decision);
            match decision {
                Decision::Add(user, hash) => users::insert(tx, &user, hash.as_ref(), now)?,
                Decision::Differ(difference) if self.import.changed == Changed::Updated => {
                    let detail = format!("imported: {}", difference.fields.join(", "));
                    let who = Actor::from(&difference.before);
                    note(tx, origin, Deed::UserChanged, who, Some(detail), now)?;
                    changed.push(change(tx, *difference, now)?);
                }
                Decision::Differ(_) | Decision::Keep | Decision::Refuse(_) => {}
            }
        }
        let ImportReport { added, updated, .. } = self.report;
        if (added, updated) != before {
            let so_far = format!("{added} added and {updated} updated so far");
            note(tx, origin, Deed::PeopleImported, None, Some(so_far), now)?;
        }
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

    fn keep_accounts(
        mut self,
        tx: &Tx<'_>,
        batch: Vec<ToldAccount>,
        now: Timestamp,
    ) -> Result<Self, DbError> {
        let before = self.report.accounts_added;
        for told in batch {
            if let Some(account) = self.decide_account(tx, told, now)? {
                oauth_accounts::insert(tx, &account)?;
            }
        }
        let added = self.report.accounts_added;
        if added != before {
            let so_far = format!("{added} accounts at providers added so far");
            note(tx, &self.people.origin, Deed::PeopleImported, None, Some(so_far), now)?;
        }
        Ok(self)
    }

    /// Decides about an account, and counts it; gives one that is to be added.
    fn decide_account(
        &mut self,
        sql: &Sql<'_>,
        told: ToldAccount,
        now: Timestamp,
    ) -> Result<Option<Account>, DbError> {
        let ToldAccount { at, link } = told;
        let decision = match link {
            Ok(link) => {
                decide_account(sql, &self.people, self.import.removed, &mut self.seen, link, now)?
            }
            Err(fault) => AccountDecision::Refuse(fault),
        };
        match decision {
            AccountDecision::Add(account) => {
                self.report.accounts_added += 1;
                return Ok(Some(account));
            }
            AccountDecision::Keep => self.report.accounts_unchanged += 1,
            AccountDecision::Refuse(fault) => {
                self.report.refused += 1;
                tell(&mut self.report.faults, &format!("{at}: {fault}"));
            }
        }
        Ok(None)
    }

    fn decide(
        &mut self,
        sql: &Sql<'_>,
        told: Told,
        now: Timestamp,
    ) -> Result<(String, Decision), DbError> {
        let Told { at, who } = told;
        let decision = match who {
            Ok(who) => decide(sql, &self.people, &self.import, &mut self.seen, who, now)?,
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
        tell(list, &line);
    }
}

/// Adds a line for an operator, unless there are enough.
fn tell(list: &mut Vec<String>, line: &str) {
    if list.len() < TOLD_MAX {
        // What comes from elsewhere may hold anything.
        list.push(line.replace(char::is_control, "\u{fffd}"));
    }
}

/// Writes how somebody is said to be; gives them, and whether they are to be kept out from now on.
fn change(tx: &Tx<'_>, difference: Difference, now: Timestamp) -> Result<(User, bool), DbError> {
    let Difference { before, mut user, hash, .. } = difference;
    let is_disabled = before.is_active && !user.is_active;
    // A password that was changed there may have been stolen before.
    let is_shut_out = is_disabled || hash.is_some();
    if is_shut_out {
        user.epoch += 1;
        let end = if is_disabled { End::Disabled } else { End::Password };
        sessions::end_all(tx, &user.id, end, now)?;
    }
    overwrite(tx, &mut user, hash.as_ref(), now)?;
    Ok((user, is_shut_out))
}
