//! Logging out: here, or everywhere.

use std::sync::Arc;

use kernel::revocation::Entry;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use kernel::token::VerifiedToken;

use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::desk::OutOfOrder;
use super::issue::Issuer;
use super::refresh::end_session;
use super::standing::Standing;
use crate::store::fault::DbError;
use crate::store::revocations;
use crate::store::sessions;
use crate::store::sessions::End;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::User;

/// Why nobody was logged out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogoutError {
    /// The access token is not ours.
    #[error("no access token of ours")]
    Token,
    /// It was revoked, so it has no say over the other sessions.
    #[error("a revoked access token")]
    Revoked,
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

impl From<DbError> for LogoutError {
    fn from(error: DbError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

impl Desk {
    /// Ends the session of `access`, which may have expired, and that of `refresh` where it is
    /// the same user's. Logging out twice is logging out once.
    ///
    /// # Errors
    /// [`LogoutError`].
    pub(crate) async fn log_out(
        &self,
        access: &Secret,
        refresh: Option<&Secret>,
        origin: Origin,
    ) -> Result<(), LogoutError> {
        let now = self.clock.now();
        let token = self.read(access)?;
        let expires_at_s = token.claims().expires_at_s;
        // A refresh token that does not hold has nothing left to end.
        let other = refresh
            .and_then(|refresh| self.issuer.read_refresh(refresh, now).ok())
            .filter(|claims| *claims.sub == *token.claims().user_id)
            .map(|claims| claims.sid);
        let issuer = Arc::clone(&self.issuer);
        let act = move |tx: &Tx<'_>| {
            let standing = Standing::of(tx, &token)?;
            let left = left_of(&standing, &token, &issuer, now);
            if let (Some(user), Some(_)) = (&standing.user, &left) {
                note(tx, &origin.by(user), Deed::LoggedOut, Actor::from(user), None, now)?;
            }
            let seq = match left {
                Some(Left::Session(id)) => end_session(tx, &id, End::Logout, now)?,
                Some(Left::Token) => Some(revocations::record(tx, &issuer.refusal(&token), now)?),
                None => None,
            };
            let others = match other {
                Some(id) => end_session(tx, &id, End::Logout, now)?,
                None => None,
            };
            Ok::<_, LogoutError>(((), others.or(seq)))
        };
        self.write_seen(act).await?;
        self.tell_old_service(access, expires_at_s);
        Ok(())
    }

    /// Ends all sessions of the user of `access`, which may have expired but not been revoked.
    ///
    /// # Errors
    /// [`LogoutError`].
    pub(crate) async fn log_out_everywhere(
        &self,
        access: &Secret,
        origin: Origin,
    ) -> Result<(), LogoutError> {
        let now = self.clock.now();
        let token = self.read(access)?;
        let expires_at_s = token.claims().expires_at_s;
        if self.is_revoked_beside(access).await {
            return Err(LogoutError::Revoked);
        }
        let issuer = Arc::clone(&self.issuer);
        let act = move |tx: &Tx<'_>| {
            let standing = Standing::of(tx, &token)?;
            let in_force = token.check_in_force(issuer.profile(), now).is_ok();
            // An old copy of a token must not be a way to log its owner out for ever; a session
            // that still lives vouches for one that has only expired.
            let session = standing.session.as_ref();
            let lives = session.is_some_and(|session| now < session.expires_at);
            if standing.is_revoked(&token) || !(in_force || lives) {
                return Err(LogoutError::Revoked);
            }
            let mut user = standing.user.ok_or(LogoutError::Revoked)?;
            let everywhere = Some("everywhere".to_owned());
            note(tx, &origin.by(&user), Deed::LoggedOut, Actor::from(&user), everywhere, now)?;
            let until = issuer.all_until(now);
            let seq = end_everything(tx, &mut user, End::LogoutEverywhere, now, until)?;
            Ok(((), Some(seq)))
        };
        self.write_seen(act).await?;
        self.tell_old_service(access, expires_at_s);
        Ok(())
    }

    fn read(&self, access: &Secret) -> Result<VerifiedToken, LogoutError> {
        let token = self.issuer.read_access(access);
        token.map_err(|_| LogoutError::Token)
    }
}

/// What somebody can still be logged out of.
enum Left {
    /// The session of this id.
    Session(String),
    /// A token that was made without one.
    Token,
}

fn left_of(
    standing: &Standing,
    token: &VerifiedToken,
    issuer: &Issuer,
    now: Timestamp,
) -> Option<Left> {
    match &standing.session {
        Some(session) if session.ended_at.is_none() => Some(Left::Session(session.id.clone())),
        Some(_) => None,
        None => {
            let in_force = token.check_in_force(issuer.profile(), now).is_ok();
            (in_force && !standing.is_revoked(token)).then_some(Left::Token)
        }
    }
}

/// Ends all sessions and refuses all tokens of `user`, whose epoch it raises, and writes the user;
/// gives the number of the revocation.
pub(super) fn end_everything(
    tx: &Tx<'_>,
    user: &mut User,
    end: End,
    now: Timestamp,
    until: Timestamp,
) -> Result<u64, DbError> {
    user.epoch += 1;
    users::update(tx, user, now)?;
    sessions::end_all(tx, &user.id, end, now)?;
    let entry = Entry::UserEpoch { user_id: user.id.clone(), min_epoch: user.epoch, until };
    revocations::record(tx, &entry, now)
}
