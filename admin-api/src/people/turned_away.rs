//! Why somebody who comes by a provider is turned away, and the bounds that are given as a reason.

use kernel::random::NoRandomness;

use super::asker::AskerError;
use super::desk::OutOfOrder;
use super::throttle::Throttled;
use crate::providers::attested::ProviderError;
use crate::providers::registry::Name;
use crate::store::fault::DbError;

/// The most browsers that are at providers at one time.
pub(crate) const FLOWS_MAX: u64 = 100_000;

/// The most accounts that one person may link.
pub(crate) const ACCOUNTS_MAX: usize = 16;

/// Why somebody is not let in. Its texts are for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArrivalError {
    /// There is no such provider here.
    #[error("`{0}` is not configured")]
    NotConfigured(Name),
    /// A state that is not of this browser, this provider and these ten minutes, or was used.
    #[error("a state that nobody was sent to this provider with, in this browser, lately")]
    State,
    /// The provider did not let them in, or they did not want to.
    #[error("nobody was let in at the provider")]
    Denied,
    /// A code that is not one of ours, or was used, or is too old.
    #[error("a code that nobody was given lately")]
    Code,
    /// The provider does not say who it is.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// They may not come in.
    #[error("a user who is not active")]
    Inactive,
    /// Somebody here has the address, and nobody knows whether it is theirs.
    #[error("the address is a user's who has not shown that it is theirs")]
    AddressTaken,
    /// The account is linked to somebody else.
    #[error("the account is linked to another user")]
    OthersAccount,
    /// They have linked as many as they may.
    #[error("{ACCOUNTS_MAX} accounts are linked already")]
    TooManyAccounts,
    /// A token is not enough to open another way in: its owner must have signed in just now.
    #[error(
        "who links an account must have signed in within ten minutes, with all they are allowed"
    )]
    SignInAgain,
    /// Who links an account must be signed in.
    #[error(transparent)]
    Asker(#[from] AskerError),
    /// Too many were sent out from there.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// Too many are under way.
    #[error("{FLOWS_MAX} browsers are at providers already")]
    Full,
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

impl From<DbError> for ArrivalError {
    fn from(error: DbError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

impl From<NoRandomness> for ArrivalError {
    fn from(error: NoRandomness) -> Self {
        DbError::from(error).into()
    }
}
