//! Who a provider says somebody is, and why it says nothing.

use std::time::Duration;

/// Somebody, as a provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attested {
    /// Whose word it is: subjects are told apart by it.
    pub(crate) issuer: String,
    /// Who they are there, for ever.
    pub(crate) subject: String,
    /// Their e-mail address, if the provider knows that it is theirs. One that somebody merely
    /// claims is not even kept: it could be anybody's.
    pub(crate) verified_email: Option<String>,
    /// What they are called there; may be anything.
    pub(crate) nick: Option<String>,
    /// Their whole name.
    pub(crate) full_name: Option<String>,
}

/// Why a provider did not say who somebody is. Its texts are for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It cannot be reached, or is left alone for a while because it could not.
    #[error("the provider cannot be asked: {why}")]
    Unavailable {
        /// What is known of it.
        why: String,
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// It gave no token for the code.
    #[error("the provider gave no token for the code: {0}")]
    Exchange(String),
    /// It gave a token, but said nothing that holds of whom.
    #[error("the provider does not say who it is: {0}")]
    Person(String),
}
