//! The sessions of one person: seen, and ended one by one.

use kernel::secret::Secret;

use super::asker::Asker;
use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::refresh::end_session;
use crate::store::fault::DbError;
use crate::store::sessions;
use crate::store::sessions::End;
use crate::store::sessions::Session;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;

/// The most sessions that are listed, the newest first.
pub(crate) const SESSIONS_LISTED_MAX: u32 = 200;

impl Desk {
    /// The sessions of a person that are alive, the newest first, at most
    /// [`SESSIONS_LISTED_MAX`].
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) async fn sessions_of(&self, user_id: String) -> Result<Vec<Session>, DbError> {
        let now = self.clock.now();
        let most = SESSIONS_LISTED_MAX;
        self.database.read(move |sql| sessions::alive(sql, &user_id, now, most)).await
    }

    /// Ends the session `id` of whoever asks and shows `access`, if it is theirs and alive; gives whether
    /// it was.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) async fn end_own_session(
        &self,
        asker: &Asker,
        access: &Secret,
        id: String,
        origin: Origin,
    ) -> Result<bool, DbError> {
        let claims = asker.token.claims();
        let is_this_one = claims.session.as_deref() == Some(&id);
        let has_ended = self.end_session_of(&asker.user, id, origin).await?;
        if has_ended && is_this_one {
            self.tell_old_service(access, claims.expires_at_s);
        }
        Ok(has_ended)
    }

    /// Ends the session `id`, if it is `user`'s and alive; gives whether it was.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) async fn end_session_of(
        &self,
        user: &User,
        id: String,
        origin: Origin,
    ) -> Result<bool, DbError> {
        let now = self.clock.now();
        let owner = Actor::from(user);
        let act = move |tx: &Tx<'_>| {
            // Held first, as everywhere: the person before the session.
            users::find(tx, By::Id, &owner.id)?;
            match sessions::find(tx, &id)? {
                Some(session) if session.user_id == owner.id && session.is_alive(now) => {}
                _ => return Ok((false, None)),
            }
            note(tx, &origin, Deed::SessionEnded, owner, Some(id.clone()), now)?;
            Ok::<_, DbError>((true, end_session(tx, &id, End::Logout, now)?))
        };
        self.write_seen(act).await
    }
}
