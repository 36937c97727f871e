//! An access token made by an operator, without a session.

use std::time::Duration;

use kernel::keys::KeyError;
use kernel::secret::Secret;
use kernel::tier::Tier;
use uuid::Uuid;

use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::issue::Bearer;
use super::person::UserError;
use super::person::Who;
use super::person::check_scopes;
use crate::store::fault::DbError;
use crate::store::sql::Tx;
use crate::store::users::Identity;

/// The token an operator wants.
#[derive(Clone, Debug)]
pub struct Mint {
    /// Whose it is to be.
    pub username: String,
    /// The tier it is to name; `None`: the user's own.
    pub tier: Option<Tier>,
    /// The scopes it is to carry; `None`: all that the user is allowed.
    pub scopes: Option<Vec<String>>,
    /// How long it is to live: a second at least, `auth.lifetime_max` at most.
    pub ttl: Duration,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The user, or the scopes.
    #[error(transparent)]
    User(#[from] UserError),
    /// The user may not come in.
    #[error("`{0}` is disabled, so the token would be refused")]
    Disabled(String),
    /// No verifier would take it.
    #[error("a token cannot live for {}s; use 1s to {}s", ttl.as_secs(), longest.as_secs())]
    Ttl {
        /// What was asked for.
        ttl: Duration,
        /// The longest that is taken.
        longest: Duration,
    },
    /// The database.
    #[error("the database did not do it")]
    Database(#[from] DbError),
    /// The key cannot sign.
    #[error("the token could not be signed")]
    Key(#[from] KeyError),
}

impl Desk {
    /// Makes an access token without a session: nobody can refresh it, and it is revoked alone or
    /// with all of its user's.
    ///
    /// # Errors
    /// [`MintError`].
    pub(crate) async fn mint(&self, mint: Mint, origin: Origin) -> Result<Secret, MintError> {
        let longest = self.issuer.profile().lifetime_max;
        if mint.ttl < Duration::from_secs(1) || mint.ttl > longest {
            return Err(MintError::Ttl { ttl: mint.ttl, longest });
        }
        if let Some(scopes) = &mint.scopes {
            check_scopes(scopes)?;
        }
        let username = mint.username.clone();
        let now = self.clock.now();
        let act = move |tx: &Tx<'_>| {
            let user = Who::Name(username).find(tx)?;
            if !user.is_active {
                return Err(MintError::Disabled(user.username));
            }
            note(tx, &origin, Deed::TokenMinted, Actor::from(&user), None, now)?;
            Ok(user)
        };
        let user = self.database.write(act).await?;
        let user = Identity::from(user);
        let scopes = mint.scopes.unwrap_or_else(|| self.roles.grant(&user, None));
        let bearer = Bearer {
            tier: mint.tier.as_ref().unwrap_or(&user.tier),
            user: &user,
            scopes,
            session: &Uuid::now_v7().to_string(),
        };
        Ok(self.issuer.access(bearer, mint.ttl, now)?)
    }
}
