//! What a store of records promises.

use std::time::Duration;

use super::id::ResourceId;
use super::record::Change;
use super::record::OtherOwner;
use super::record::Record;
use super::record::Report;
use super::update::Effect;
use crate::lost::StoreLost;
use crate::time::Timestamp;

/// How many changes of a resource are kept for whoever was away for a while.
pub const CHANGES_KEPT_MAX: usize = 32;

/// How long a record is kept after the last report, unless it is configured otherwise.
pub const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// A report that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What is known now.
    pub record: Record,
    /// What the report did to it.
    pub effect: Effect,
}

/// What happened to a resource since a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// These changes, each going on from the one before it, the first from that version; none where
    /// nothing happened.
    Changes(Vec<Change>),
    /// More than is kept, or that version never was, or is none any more: the record itself tells.
    Missed,
}

/// A place in a list: after the record that was changed last at this moment, and is called so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When.
    pub at: Timestamp,
    /// The name.
    pub id: ResourceId,
}

/// Part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<Cursor>,
}

/// Why a report was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Of another owner.
    #[error(transparent)]
    OtherOwner(#[from] OtherOwner),
    /// Nobody knows whether it was.
    #[error(transparent)]
    Lost(#[from] StoreLost),
}

/// Records of resources.
///
/// Contract, proved by [`conformance`](crate::status::conformance):
///
/// - A report is taken in whole or not at all, by [`Record::take`]; of reports that come at one time
///   none is lost.
/// - A record is there until it was not reported on for as long as it is kept, and then no more.
/// - The last [`CHANGES_KEPT_MAX`] changes of a resource are kept, in order.
/// - An owner's list has each record once, the one that was changed last first, as long as nothing
///   changes; a record that belongs to another owner is never in it.
///
/// `now` is the caller's clock. A store that a fleet shares goes by one of its own instead.
pub trait StatusStore: Send + Sync {
    /// Takes a report in.
    ///
    /// # Errors
    /// [`NotTaken`].
    fn put(
        &self,
        report: &Report,
        now: Timestamp,
    ) -> impl Future<Output = Result<Taken, NotTaken>> + Send;

    /// What is known of a resource; `None`: nothing.
    ///
    /// # Errors
    /// [`StoreLost`].
    fn get(
        &self,
        id: &ResourceId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Record>, StoreLost>> + Send;

    /// At most `limit` records of `owner`, from `after` on.
    ///
    /// # Errors
    /// [`StoreLost`].
    fn list(
        &self,
        owner: &str,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> impl Future<Output = Result<Page, StoreLost>> + Send;

    /// What happened to a resource after it had that version.
    ///
    /// # Errors
    /// [`StoreLost`].
    fn since(
        &self,
        id: &ResourceId,
        version: u64,
        now: Timestamp,
    ) -> impl Future<Output = Result<Since, StoreLost>> + Send;
}
