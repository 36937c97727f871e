//! Staying signed in: one refresh token for the next.
//!
//! A session has one row, and each refresh moves it to the next generation by compare-and-swap.
//! The token of the generation just left is still good for [`GRACE`] and gives the very same
//! successor, so clients that race themselves stay signed in. An older one can only be a copy:
//! the session dies, and no other with it.
//!
//! For clients that keep their first token whatever they are given, a switch leaves sessions in the
//! generation that they are in. A copy of such a token cannot be told from it.

use std::sync::Arc;
use std::time::Duration;

use kernel::claims::RefreshClaims;
use kernel::revocation::Entry;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use kernel::token::RefreshError;

use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::desk::OutOfOrder;
use super::issue::Issuer;
use super::issue::Pair;
use crate::store::fault::DbError;
use crate::store::revocations;
use crate::store::sessions;
use crate::store::sessions::End;
use crate::store::sessions::Session;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::Identity;

/// How long the token of the generation just left is still good.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Why a session is not refreshed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshRefusal {
    /// An access token came.
    #[error("an access token in place of a refresh token")]
    WrongType,
    /// No refresh token of ours that is in force.
    #[error("no refresh token that holds")]
    Token,
    /// Its session is over or gone, or its user may not come in.
    #[error("a refresh token whose session or user is over")]
    Over,
    /// It was used before; the session was ended for it.
    #[error("a refresh token that was used before; its session was ended")]
    Reuse,
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

impl From<DbError> for RefreshRefusal {
    fn from(error: DbError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

/// What became of a session whose refresh token was shown.
enum Turn {
    /// It has a generation that the bearer may have.
    On(Box<(Identity, Session)>),
    /// It was over.
    Over,
    /// It died of a token that was used before; the number of the revocation, if one was due.
    Reuse(Option<u64>),
}

impl Desk {
    /// Exchanges a refresh token for the next pair.
    ///
    /// # Errors
    /// [`RefreshRefusal`].
    pub(crate) async fn refresh(
        &self,
        token: &Secret,
        origin: Origin,
    ) -> Result<Pair, RefreshRefusal> {
        self.refresh_within(token, None, origin).await
    }

    /// The same, with an access token that carries no more than `scopes`; the session keeps all that
    /// it has (RFC 6749 §6).
    ///
    /// # Errors
    /// [`RefreshRefusal`].
    pub(crate) async fn refresh_within(
        &self,
        token: &Secret,
        scopes: Option<&[String]>,
        origin: Origin,
    ) -> Result<Pair, RefreshRefusal> {
        let now = self.clock.now();
        let claims = self.issuer.read_refresh(token, now).map_err(|e| match e {
            RefreshError::WrongType => RefreshRefusal::WrongType,
            RefreshError::Invalid => RefreshRefusal::Token,
        })?;
        match self.turn(&claims, origin, now).await? {
            Turn::On(bearer) => {
                let (user, session) = *bearer;
                let mut granted = self.roles.grant(&user, session.asked_scopes.as_deref());
                granted.retain(|scope| scopes.is_none_or(|scopes| scopes.contains(scope)));
                let pair = self.issuer.pair(&user, granted, &session, now);
                Ok(pair.map_err(OutOfOrder::from)?)
            }
            Turn::Over => Err(RefreshRefusal::Over),
            Turn::Reuse(seq) => {
                tracing::warn!(
                    user.id = %claims.sub,
                    session.id = %claims.sid,
                    "a refresh token was used a second time: the session was ended"
                );
                self.progress.reaches(seq).await;
                Err(RefreshRefusal::Reuse)
            }
        }
    }

    async fn turn(
        &self,
        shown: &RefreshClaims,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Turn, DbError> {
        let rotation = self.issuer.rotation(shown, now);
        let step = match self.issuer.keeps_refresh_token() {
            true => sessions::stay,
            false => sessions::rotate,
        };
        let moved = self.database.write_at_once(move |tx| step(tx, &rotation)).await?;
        if let Some((user, session)) = moved {
            return Ok(on(user, session));
        }
        let (shown, issuer) = (shown.clone(), Arc::clone(&self.issuer));
        self.database.write(move |tx| turn(tx, &shown, &issuer, &origin, now)).await
    }
}

/// What becomes of a session that did not simply move on, and why.
fn turn(
    tx: &Tx<'_>,
    shown: &RefreshClaims,
    issuer: &Issuer,
    origin: &Origin,
    now: Timestamp,
) -> Result<Turn, DbError> {
    // Held first, as everywhere: the person before the session.
    let user = match users::find(tx, By::Id, &shown.sub)? {
        Some(user) if user.is_active && user.epoch == shown.ep => Identity::from(user),
        _ => return Ok(Turn::Over),
    };
    let session = match sessions::find(tx, &shown.sid)? {
        Some(session) if session.user_id == user.id => session,
        _ => return Ok(Turn::Over),
    };
    if session.ended_at.is_some() || now >= session.absolute_until {
        return Ok(Turn::Over);
    }
    if shown.generation >= session.generation {
        // Of a future that a restored backup took back; no sign of a thief.
        return Ok(Turn::Over);
    }
    if shown.generation + 1 == session.generation && now.since(session.rotated_at) <= GRACE {
        sessions::extend_access(tx, &session.id, issuer.access_until(now))?;
        return Ok(on(user, session));
    }
    note(tx, origin, Deed::RefreshReused, Actor::from(&user), Some(session.id.clone()), now)?;
    end_session(tx, &session.id, End::Reuse, now).map(Turn::Reuse)
}

fn on(user: Identity, session: Session) -> Turn {
    Turn::On(Box::new((user, session)))
}

/// Ends a session, and its access tokens where any of them is still in force; gives the number
/// of that revocation.
pub(super) fn end_session(
    tx: &Tx<'_>,
    id: &str,
    end: End,
    now: Timestamp,
) -> Result<Option<u64>, DbError> {
    match sessions::end(tx, id, end, now)? {
        Some(session) if session.access_until > now => {
            let entry = Entry::Session { id: session.id, until: session.access_until };
            revocations::record(tx, &entry, now).map(Some)
        }
        _ => Ok(None),
    }
}
