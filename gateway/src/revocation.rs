//! The question that follows authentication: was this token, its session, its user or its key
//! taken back since?

use std::sync::Arc;

use kernel::caller::Caller;
use kernel::revocation::RevocationError;
use kernel::revocation::RevocationSet;

use crate::auth::Identity;
use crate::auth::Known;

/// Who is calling, with nothing left to ask.
///
/// A [`Caller`] comes out of the revocation set alone, so this cannot be made by skipping it.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// Nobody in particular.
    Anonymous,
    /// A caller, and what a back end is told of it.
    Caller(Caller, Arc<Known>),
}

/// Checks an identity against the set; nobody has nothing that could be revoked.
///
/// # Errors
/// [`RevocationError`].
pub fn check(set: &RevocationSet, identity: Identity) -> Result<Visitor, RevocationError> {
    match identity {
        Identity::Anonymous => Ok(Visitor::Anonymous),
        Identity::Known(token, known) => Ok(Visitor::Caller(set.check(token)?, known)),
    }
}
