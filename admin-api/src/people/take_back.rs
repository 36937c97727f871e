//! Taking a token back: whoever holds one may (RFC 7009), and an operator who was shown one.

use std::sync::Arc;

use kernel::revocation::Entry;
use kernel::secret::Secret;
use kernel::token::TokenKey;
use kernel::token::said_by;
use serde_json::Value;

use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::refresh::end_session;
use super::standing::Standing;
use crate::store::fault::DbError;
use crate::store::revocations;
use crate::store::sessions;
use crate::store::sessions::End;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::By;

/// What became of a token that was to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenBack {
    /// The access token is refused from now on, and nothing else.
    Token,
    /// The refresh token's session is over, with the access tokens it was given.
    Session,
    /// The token of that other issuer is refused from now on; nobody vouches for what it says.
    Foreign(String),
    /// It had been taken back before, or its session is over.
    Before,
    /// It is refused for its age anyway.
    Expired,
    /// Nobody here would have taken it; why.
    NotOurs(String),
}

impl Desk {
    /// Takes a token of ours back; one of others stays as it is.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) async fn take_back(
        &self,
        token: &Secret,
        origin: Origin,
    ) -> Result<TakenBack, DbError> {
        let now = self.clock.now();
        if let Ok(claims) = self.issuer.read_refresh(token, now) {
            let end = move |tx: &Tx<'_>| {
                // Held first, as everywhere: the person before the session.
                let owner = users::find(tx, By::Id, &claims.sub)?;
                let session = sessions::find(tx, &claims.sid)?;
                if session.is_some_and(|session| session.ended_at.is_none()) {
                    let owner = owner.as_ref().map(Actor::from);
                    note(tx, &origin, Deed::TokenRevoked, owner, Some(claims.sid.clone()), now)?;
                }
                Ok(((), end_session(tx, &claims.sid, End::Logout, now)?))
            };
            self.write_seen::<_, DbError>(end).await?;
            return Ok(TakenBack::Session);
        }
        let shown = token;
        let token = match self.issuer.read_access(shown) {
            Ok(token) => token,
            Err(error) => return Ok(TakenBack::NotOurs(error.to_string())),
        };
        if token.check_in_force(self.issuer.profile(), now).is_err() {
            return Ok(TakenBack::Expired);
        }
        let expires_at_s = token.claims().expires_at_s;
        let issuer = Arc::clone(&self.issuer);
        let revoke = move |tx: &Tx<'_>| {
            if Standing::of(tx, &token)?.is_revoked(&token) {
                return Ok((TakenBack::Before, None));
            }
            let jti = token.claims().token_id.as_deref().map(str::to_owned);
            note(tx, &origin, Deed::TokenRevoked, None, jti, now)?;
            let seq = revocations::record(tx, &issuer.refusal(&token), now)?;
            Ok::<_, DbError>((TakenBack::Token, Some(seq)))
        };
        let taken = self.write_seen(revoke).await?;
        self.tell_old_service(shown, expires_at_s);
        Ok(taken)
    }

    /// The same for an operator, who may take back tokens of the other issuers as well.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) async fn take_back_any(
        &self,
        token: &Secret,
        origin: Origin,
    ) -> Result<TakenBack, DbError> {
        let taken = self.take_back(token, origin.clone()).await?;
        let (TakenBack::NotOurs(_), Some((_, claims))) = (&taken, said_by(token.expose())) else {
            return Ok(taken);
        };
        let Some(issuer) = self.other_issuer_of(&claims) else {
            return Ok(taken);
        };
        let now = self.clock.now();
        let until = self.issuer.refused_from(claims["exp"].as_u64().unwrap_or_default());
        if until <= now {
            return Ok(TakenBack::Expired);
        }
        let signing_input = token.expose().rsplit_once('.').map_or("", |(input, _)| input);
        let key = match claims["jti"].as_str() {
            Some(jti) => TokenKey::of_id(&issuer, jti),
            None => TokenKey::of_signing_input(signing_input.as_bytes()),
        };
        let record = move |tx: &Tx<'_>| {
            if revocations::is_token_revoked(tx, key)? {
                return Ok((TakenBack::Before, None));
            }
            note(tx, &origin, Deed::TokenRevoked, None, Some(issuer.clone()), now)?;
            let seq = revocations::record(tx, &Entry::Token { key, until }, now)?;
            Ok::<_, DbError>((TakenBack::Foreign(issuer), Some(seq)))
        };
        self.write_seen(record).await
    }

    fn other_issuer_of(&self, claims: &Value) -> Option<String> {
        let issuer = claims["iss"].as_str()?;
        self.other_issuers.iter().find(|known| *known == issuer).cloned()
    }
}
