//! Coming back from a provider, and on from there: to a session, or to the front end with a code.

use std::sync::Arc;
use std::time::Duration;

use kernel::random::unguessable;
use kernel::secret::Secret;
use kernel::time::Timestamp;

use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::issue::Issuer;
use super::issue::Pair;
use super::turned_away::ACCOUNTS_MAX;
use super::turned_away::ArrivalError;
use super::who_is_who::add_account;
use super::who_is_who::as_kept;
use super::who_is_who::find_or_add;
use super::who_is_who::still_there;
use crate::providers::attested::Attested;
use crate::providers::flow::Flow;
use crate::providers::registry::Name;
use crate::providers::registry::Provider;
use crate::store::audit::Act;
use crate::store::fault::DbError;
use crate::store::oauth_accounts;
use crate::store::oauth_accounts::Account;
use crate::store::oauth_codes;
use crate::store::oauth_codes::Handed;
use crate::store::oauth_flows;
use crate::store::oauth_flows::Linking;
use crate::store::oauth_flows::Sent;
use crate::store::sessions;
use crate::store::sessions::Session;
use crate::store::sql::Room;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::Identity;
use crate::store::users::User;
use crate::store::values::hashed;

/// How long the front end may take to exchange its code.
pub(crate) const CODE_LIFE: Duration = Duration::from_secs(60);

/// By what somebody comes in whose front end shows its code.
const BY_CODE: &str = "a code";

/// Somebody comes back from a provider.
pub(crate) struct Return {
    pub(crate) state: Secret,
    /// What the browser kept, if it kept anything.
    pub(crate) browser: Option<Secret>,
    /// Who says so, if they say who they are (RFC 9207).
    pub(crate) issuer: Option<String>,
    /// `None`: they were not let in there.
    pub(crate) code: Option<Secret>,
}

/// What somebody gets who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    /// A session, at once.
    Session,
    /// A code for a session, for the front end to exchange.
    Code,
}

/// What has come of it.
pub(crate) enum Arrival {
    /// They are signed in.
    SignedIn(Pair),
    /// They can be, with this code.
    Handed(Secret),
    /// The account is linked to who they were already.
    Linked(Box<Account>),
}

impl Desk {
    /// Lets somebody in who comes back from a provider, or links the account they bring.
    ///
    /// # Errors
    /// [`ArrivalError`].
    pub(crate) async fn arrive(
        &self,
        name: &Name,
        back: Return,
        welcome: Welcome,
        origin: Origin,
    ) -> Result<Arrival, ArrivalError> {
        let provider = self.providers.find(name);
        let provider = provider.ok_or_else(|| ArrivalError::NotConfigured(name.clone()))?;
        let sent = self.recognise(name, &back).await?;
        let (deed, target_id) = match &sent.linking {
            Some(linking) => (Deed::AccountLinkFailed, Some(linking.user_id.clone())),
            None => (Deed::SignInFailed, None),
        };
        let arrived = self.let_in(name, provider, back, sent, welcome, origin.clone()).await;
        if arrived.as_ref().is_err_and(|error| !matches!(error, ArrivalError::OutOfOrder(_))) {
            let act = origin.did(deed, None, self.clock.now());
            self.notes.add(Act { target_id, detail: Some(name.to_string()), ..act });
        }
        arrived
    }

    async fn let_in(
        &self,
        name: &Name,
        provider: &Provider,
        back: Return,
        sent: Sent,
        welcome: Welcome,
        origin: Origin,
    ) -> Result<Arrival, ArrivalError> {
        // Mixed up with another provider (RFC 9207 §2.4).
        if back.issuer.is_some_and(|issuer| !provider.is_issuer(&issuer)) {
            return Err(ArrivalError::State);
        }
        let code = back.code.ok_or(ArrivalError::Denied)?;
        let flow = Flow { state: back.state, nonce: sent.nonce, verifier: sent.verifier };
        let mut who = provider.identify(&code, &flow, self.clock.now()).await?;
        who.verified_email = who.verified_email.and_then(|email| as_kept(&email));
        match sent.linking {
            Some(linking) => {
                self.link(name, who, linking, origin).await.map(Box::new).map(Arrival::Linked)
            }
            None => self.admit(name, who, welcome, origin).await,
        }
    }

    /// What is remembered of the browser that comes back.
    async fn recognise(&self, name: &Name, back: &Return) -> Result<Sent, ArrivalError> {
        let Some(browser) = &back.browser else { return Err(ArrivalError::State) };
        let (state, browser) = (hashed(&back.state), hashed(browser));
        let provider = name.to_string();
        let take = move |tx: &Tx<'_>| oauth_flows::take(tx, &state, &browser, &provider);
        let sent = self.database.write::<_, DbError>(take).await?;
        sent.filter(|sent| self.clock.now() < sent.expires_at).ok_or(ArrivalError::State)
    }

    async fn admit(
        &self,
        name: &Name,
        who: Attested,
        welcome: Welcome,
        origin: Origin,
    ) -> Result<Arrival, ArrivalError> {
        let now = self.clock.now();
        let issuer = Arc::clone(&self.issuer);
        let tier = self.usual_tier.clone();
        let code = unguessable()?;
        let code_hash = hashed(&code);
        let provider = name.to_string();
        let admitted = move |tx: &Tx<'_>| -> Result<_, ArrivalError> {
            let user = find_or_add(tx, &who, &tier, (&origin, &provider), now)?;
            if !user.is_active {
                return Err(ArrivalError::Inactive);
            }
            if welcome == Welcome::Session {
                let (user, session) = begin(tx, &issuer, user, (&origin, &provider), now)?;
                return Ok((user, Some(session)));
            }
            let expires_at = now.plus(CODE_LIFE);
            let (user_id, epoch) = (user.id.clone(), user.epoch);
            oauth_codes::insert(tx, &Handed { code_hash, user_id, epoch, expires_at })?;
            Ok((Identity::from(user), None))
        };
        let (user, session) = self.database.write(admitted).await?;
        match session {
            Some(session) => {
                Ok(Arrival::SignedIn(self.welcome(&user, &session, name.to_string())?))
            }
            None => Ok(Arrival::Handed(code)),
        }
    }

    /// Exchanges a code that the front end was given for a session.
    ///
    /// # Errors
    /// [`ArrivalError::Code`], [`ArrivalError::Inactive`], [`ArrivalError::OutOfOrder`].
    pub(crate) async fn exchange(
        &self,
        code: &Secret,
        origin: Origin,
    ) -> Result<Pair, ArrivalError> {
        let now = self.clock.now();
        let issuer = Arc::clone(&self.issuer);
        let code_hash = hashed(code);
        let take = move |tx: &Tx<'_>| oauth_codes::take(tx, &code_hash);
        // On its own: whatever becomes of it, it was used.
        let handed =
            self.database.write::<_, DbError>(take).await?.filter(|handed| now < handed.expires_at);
        let handed = handed.ok_or(ArrivalError::Code)?;
        let exchanged = move |tx: &Tx<'_>| -> Result<_, ArrivalError> {
            match users::find(tx, By::Id, &handed.user_id)? {
                Some(user) if !user.is_active => Err(ArrivalError::Inactive),
                Some(user) if user.epoch == handed.epoch => {
                    begin(tx, &issuer, user, (&origin, BY_CODE), now)
                }
                // Logged out everywhere, or gone, in the meantime.
                _ => Err(ArrivalError::Code),
            }
        };
        let (user, session) = self.database.write(exchanged).await?;
        self.welcome(&user, &session, BY_CODE.to_owned())
    }

    fn welcome(
        &self,
        user: &Identity,
        session: &Session,
        way: String,
    ) -> Result<Pair, ArrivalError> {
        let pair = self.pair_of(user, session)?;
        tracing::info!(
            user.id = %user.id,
            session.id = %session.id,
            "{} signed in by {way}",
            user.username
        );
        Ok(pair)
    }

    /// Links an account to somebody who set out signed in.
    async fn link(
        &self,
        name: &Name,
        who: Attested,
        linking: Linking,
        origin: Origin,
    ) -> Result<Account, ArrivalError> {
        let now = self.clock.now();
        let provider = name.to_string();
        let link = move |tx: &Tx<'_>| {
            tx.alone_in(Room::Names)?;
            let user = still_there(tx, &linking)?;
            let linked = oauth_accounts::of_user(tx, &user.id)?;
            match oauth_accounts::find(tx, &who.issuer, &who.subject)? {
                Some(account) if account.user_id == user.id => Ok(account),
                Some(_) => Err(ArrivalError::OthersAccount),
                None if linked.len() >= ACCOUNTS_MAX => Err(ArrivalError::TooManyAccounts),
                None => Ok(add_account(tx, &user, &who, &provider, &origin, now)?),
            }
        };
        let account = self.database.write(link).await?;
        tracing::info!(user.id = %account.user_id, "an account at {name} was linked");
        Ok(account)
    }
}

/// Opens a session for `user`, who came by `way`.
fn begin(
    tx: &Tx<'_>,
    issuer: &Issuer,
    user: User,
    (origin, way): (&Origin, &str),
    now: Timestamp,
) -> Result<(Identity, Session), ArrivalError> {
    let (origin, way) = (origin.clone().by(&user), way.to_owned());
    note(tx, &origin, Deed::SignedIn, Actor::from(&user), Some(way), now)?;
    let user = Identity::from(user);
    let session = issuer.begin(&user, None, &origin, now);
    sessions::insert(tx, &session)?;
    users::signed_in(tx, &user.id, None, now)?;
    Ok((user, session))
}
