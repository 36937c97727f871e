//! Why somebody is not taken over, and why an import ends early.

use kernel::claims::CLAIM_BYTES_MAX;
use kernel::tier::TierError;

use crate::passwords::stored::Unreadable;
use crate::people::person::UserError;
use crate::store::fault::DbError;
use crate::store::open::OpenError;

/// The most rows that one import takes: it remembers the names of all, to find those that come twice.
pub(crate) const ROWS_MAX: u64 = 5_000_000;

/// The longest line of an import, in bytes, without its end.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Why one row is not taken over. The text shows no hash.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowFault {
    /// It is longer than any person's is.
    #[error("the line is longer than {LINE_BYTES_MAX} bytes")]
    Long,
    /// It is no JSON object of the keys that there are.
    #[error("{0}")]
    Json(String),
    /// A row of a database without an id.
    #[error("there is no id")]
    NoId,
    /// An id that tokens cannot carry.
    #[error("`{0}` is no id: use 1 to {CLAIM_BYTES_MAX} bytes, no control characters")]
    Id(String),
    /// Nothing to sign in with.
    #[error("there is neither a user name nor an e-mail address")]
    Nameless,
    /// No yes and no no.
    #[error("`{column}` is `{value}`, which is neither yes nor no")]
    Flag {
        /// Where.
        column: &'static str,
        /// What.
        value: String,
    },
    /// No moment.
    #[error("`{column}` is `{value}`, which is no moment since 1970")]
    Moment {
        /// Where.
        column: &'static str,
        /// What.
        value: String,
    },
    /// A tier that cannot even be one.
    #[error(transparent)]
    TierName(#[from] TierError),
    /// A hash that cannot be checked.
    #[error("the password hash cannot be taken over: {0}")]
    Hash(#[from] Unreadable),
    /// An account of nobody that could come by it.
    #[error("`provider` and `provider_user_id` do not say who comes by it")]
    Nobodys,
    /// A provider whose issuer is not known.
    #[error("no provider `{0}`: configure it as `[auth.oauth.oidc.{0}]` first")]
    Provider(String),
    /// An account of somebody who is not here.
    #[error("there is no user with the id `{0}`")]
    NoOwner(String),
    /// An account by which somebody else comes.
    #[error("by this account somebody else signs in here")]
    Anothers,
    /// An id, a name or an address that an earlier row has.
    #[error("`{0}` stands in an earlier row too")]
    Twice(String),
    /// Somebody, or an account, that was removed here.
    #[error("it was removed here; `--removed-too` brings it back")]
    Removed,
    /// Anything else that a person cannot be.
    #[error(transparent)]
    User(UserError),
}

impl RowFault {
    /// The database's own fault is nobody's row: it ends the import.
    pub(crate) fn of(error: UserError) -> Result<Self, DbError> {
        match error {
            UserError::Database(error) => Err(error),
            other => Ok(Self::User(other)),
        }
    }
}

/// Why an import ended early. What was taken over before stays, and another run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A tier of the import's own that is not configured.
    #[error(transparent)]
    Tier(UserError),
    /// The old deployment's database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There are no such people.
    #[error("the database `{place}` has no table `users`")]
    NoTable {
        /// Which one.
        place: String,
    },
    /// A table without what everybody must have.
    #[error("the table `users` of `{place}` has no column `{column}`")]
    NoColumn {
        /// Which one.
        place: String,
        /// What it lacks.
        column: &'static str,
    },
    /// A table of accounts without what each must have.
    #[error("the table `oauth_accounts` of `{place}` has no column `{column}`")]
    NoAccountColumn {
        /// Which one.
        place: String,
        /// What it lacks.
        column: &'static str,
    },
    /// The old deployment's database gave no answer.
    #[error("the people could not be read")]
    Source(#[source] DbError),
    /// The file could not be read.
    #[error("the people could not be read")]
    Lines(#[from] std::io::Error),
    /// More than can be remembered.
    #[error("there are more than {ROWS_MAX} rows; split them")]
    TooMany,
    /// Our own database gave no answer.
    #[error("the people could not be written; those before them stay, and another run goes on")]
    Target(#[from] DbError),
    /// The reader is gone.
    #[error("the reading did not finish")]
    Lost,
}
