//! Whether the bearer of a good token still stands well with us, by the database.

use kernel::token::VerifiedToken;

use crate::store::fault::DbError;
use crate::store::revocations;
use crate::store::sessions;
use crate::store::sessions::Session;
use crate::store::sql::Sql;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;

/// What the database knows of a token's bearer.
pub(crate) struct Standing {
    pub(crate) user: Option<User>,
    /// The session, alive or over; `None` for a token that was made without one.
    pub(crate) session: Option<Session>,
    is_token_revoked: bool,
}

impl Standing {
    /// Looks it up.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) fn of(sql: &Sql<'_>, token: &VerifiedToken) -> Result<Self, DbError> {
        let claims = token.claims();
        // The person before the session: within a transaction both are held, in this order
        // everywhere.
        let user = users::find(sql, By::Id, &claims.user_id)?;
        let session = match claims.session.as_deref() {
            Some(id) => sessions::find(sql, id)?,
            None => None,
        };
        let is_token_revoked = revocations::is_token_revoked(sql, token.key())?;
        Ok(Self { user, session, is_token_revoked })
    }

    /// Whether the token is refused although its signature and times are good.
    pub(crate) fn is_revoked(&self, token: &VerifiedToken) -> bool {
        // A token of the replaced system has no epoch: it is older than every one.
        let epoch = token.claims().epoch.unwrap_or(0);
        let by_user = self.user.as_ref().is_some_and(|user| !user.is_active || epoch < user.epoch);
        let by_session = self.session.as_ref().is_some_and(|session| session.ended_at.is_some());
        self.is_token_revoked || by_user || by_session
    }
}
