//! The accounts at providers that somebody has linked: seen, and unlinked.

use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::desk::OutOfOrder;
use crate::store::fault::DbError;
use crate::store::oauth_accounts;
use crate::store::oauth_accounts::Account;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::By;

/// The ways in that somebody has.
pub(crate) struct WaysIn {
    pub(crate) accounts: Vec<Account>,
    pub(crate) has_password: bool,
}

/// Why an account is not unlinked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnlinkError {
    /// They have no such account.
    #[error("no such account")]
    Unknown,
    /// They could not sign in any more.
    #[error("the last way to sign in")]
    LastWayIn,
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

impl From<DbError> for UnlinkError {
    fn from(error: DbError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

impl Desk {
    /// The ways in of the user `user_id`.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) async fn ways_in(&self, user_id: String) -> Result<WaysIn, DbError> {
        self.database
            .read(move |sql| {
                Ok(WaysIn {
                    accounts: oauth_accounts::of_user(sql, &user_id)?,
                    has_password: users::has_password(sql, &user_id)?,
                })
            })
            .await
    }

    /// Unlinks the account `id` of the user `user_id`, if they can still sign in without it: with a
    /// password, or by another account of a provider that is configured.
    ///
    /// # Errors
    /// [`UnlinkError`].
    pub(crate) async fn unlink(
        &self,
        user_id: String,
        id: String,
        origin: Origin,
    ) -> Result<(), UnlinkError> {
        let now = self.clock.now();
        let issuers: Vec<String> = self.providers.issuers().map(str::to_owned).collect();
        let unlink = move |tx: &Tx<'_>| {
            // Held: of two who unlink the last two at once, the second must see what the first did.
            let user = users::find(tx, By::Id, &user_id)?.ok_or(UnlinkError::Unknown)?;
            let accounts = oauth_accounts::of_user(tx, &user_id)?;
            let account = accounts.iter().find(|account| account.id == id);
            let account = account.ok_or(UnlinkError::Unknown)?;
            let by_another = accounts
                .iter()
                .any(|account| account.id != id && issuers.contains(&account.issuer));
            if !by_another && !users::has_password(tx, &user_id)? {
                return Err(UnlinkError::LastWayIn);
            }
            oauth_accounts::delete(tx, account, now)?;
            let (target, provider) = (Actor::from(&user), Some(account.provider.clone()));
            note(tx, &origin, Deed::AccountUnlinked, target, provider, now)?;
            tracing::info!(user.id = %user_id, "an account at a provider was unlinked");
            Ok(())
        };
        self.database.write(unlink).await
    }
}
