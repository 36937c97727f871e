//! Taking a token back: whoever holds one may (RFC 7009), and an operator who was shown one.

use kernel::revocation::Entry;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use kernel::token::TokenKey;
use kernel::token::VerifiedToken;
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
                end_session(tx, &claims.sid, End::Logout, now)
            };
            let seq: Option<u64> = self.database.write(end).await?;
            self.progress.reaches(seq).await;
            return Ok(TakenBack::Session);
        }
        let token = match self.issuer.read_access(token) {
            Ok(token) => token,
            Err(error) => return Ok(TakenBack::NotOurs(error.to_string())),
        };
        if token.check_in_force(self.issuer.profile(), now).is_err() {
            return Ok(TakenBack::Expired);
        }
        let until = self.until(token.claims().expires_at_s);
        let revoke = move |tx: &Tx<'_>| {
            let seq = revoke_one(tx, &token, until, now)?;
            if seq.is_some() {
                let jti = token.claims().token_id.as_deref().map(str::to_owned);
                note(tx, &origin, Deed::TokenRevoked, None, jti, now)?;
            }
            Ok::<_, DbError>(seq)
        };
        let seq = self.database.write(revoke).await?;
        self.progress.reaches(seq).await;
        Ok(if seq.is_some() { TakenBack::Token } else { TakenBack::Before })
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
        let until = self.until(claims["exp"].as_u64().unwrap_or_default());
        if until <= now {
            return Ok(TakenBack::Expired);
        }
        let signing_input = token.expose().rsplit_once('.').map_or("", |(input, _)| input);
        let key = match claims["jti"].as_str() {
            Some(jti) => TokenKey::of_id(&issuer, jti),
            None => TokenKey::of_signing_input(signing_input.as_bytes()),
        };
        let from = issuer.clone();
        let record = move |tx: &Tx<'_>| {
            if revocations::is_token_revoked(tx, key)? {
                return Ok(None);
            }
            note(tx, &origin, Deed::TokenRevoked, None, Some(from.clone()), now)?;
            revocations::record(tx, &Entry::Token { key, until }, now).map(Some)
        };
        let seq: Option<u64> = self.database.write(record).await?;
        self.progress.reaches(seq).await;
        Ok(if seq.is_some() { TakenBack::Foreign(issuer) } else { TakenBack::Before })
    }

    fn other_issuer_of(&self, claims: &Value) -> Option<String> {
        let issuer = claims["iss"].as_str()?;
        self.other_issuers.iter().find(|known| *known == issuer).cloned()
    }

    /// From when a token with this `exp` is refused for its age.
    fn until(&self, expires_at_s: u64) -> Timestamp {
        Timestamp::from_secs(expires_at_s).plus(self.issuer.profile().leeway)
    }
}

/// Revokes one token, whatever session it belongs to; gives the number of the revocation, if one
/// was due.
fn revoke_one(
    tx: &Tx<'_>,
    token: &VerifiedToken,
    until: Timestamp,
    now: Timestamp,
) -> Result<Option<u64>, DbError> {
    if Standing::of(tx, token)?.is_revoked(token) {
        return Ok(None);
    }
    revocations::record(tx, &Entry::Token { key: token.key(), until }, now).map(Some)
}
