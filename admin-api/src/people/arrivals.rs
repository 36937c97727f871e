//! Signing in by a provider's word: somebody is sent there, and comes back.
//!
//! Whoever comes back is known by issuer and subject, nothing else. An address makes two people one
//! only where both sides know that it is theirs: else somebody could open an account in another's
//! name, at either end, and wait for its owner.

use std::sync::Arc;
use std::time::Duration;

use kernel::secret::Secret;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use ring::digest::SHA256;
use ring::digest::digest;
use uuid::Uuid;

use super::asker::AskerError;
use super::desk::Desk;
use super::desk::OutOfOrder;
use super::issue::Issuer;
use super::issue::Pair;
use super::names::address_spelled;
use super::newcomers;
use super::newcomers::NAMELESS;
use super::users::check_names;
use crate::providers::attested::Attested;
use crate::providers::attested::ProviderError;
use crate::providers::flow::Flow;
use crate::providers::flow::unguessable;
use crate::providers::registry::Name;
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
use crate::store::values::hex;

/// How long somebody may take at a provider.
pub(crate) const FLOW_LIFE: Duration = Duration::from_secs(600);

/// How long the front end may take to exchange its code.
pub(crate) const CODE_LIFE: Duration = Duration::from_secs(60);

/// The most browsers that are at providers at one time.
pub(crate) const FLOWS_MAX: u64 = 100_000;

/// The most accounts that one person may link.
pub(crate) const ACCOUNTS_MAX: usize = 16;

/// How many old rows whoever sets out sweeps up.
const SWEPT_ROWS: u32 = 100;

/// The tier of people who come for the first time.
const NEWCOMERS_TIER: &str = "free";

/// Somebody sets out for a provider.
pub(crate) struct Departure {
    /// Where the browser is to go.
    pub(crate) authorization_url: String,
    /// What it is to come back with.
    pub(crate) state: Secret,
    /// What it is to keep meanwhile.
    pub(crate) browser: Secret,
}

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

/// Why somebody is not let in. Its texts are for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArrivalError {
    /// There is no such provider here.
    #[error("`{0}` is not configured")]
    NotConfigured(Name),
    /// A state that is not of this browser, this provider and these ten minutes, or was used.
    #[error("a state that nobody was sent to this provider with, in this browser, lately")]
    State,
    /// The provider did not let them in, or they did not want to.
    #[error("nobody was let in at the provider")]
    Denied,
    /// A code that is not one of ours, or was used, or is too old.
    #[error("a code that nobody was given lately")]
    Code,
    /// The provider does not say who it is.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// They may not come in.
    #[error("a user who is not active")]
    Inactive,
    /// Somebody here has the address, and nobody knows whether it is theirs.
    #[error("the address is a user's who has not shown that it is theirs")]
    AddressTaken,
    /// The account is linked to somebody else.
    #[error("the account is linked to another user")]
    OthersAccount,
    /// They have linked as many as they may.
    #[error("{ACCOUNTS_MAX} accounts are linked already")]
    TooManyAccounts,
    /// Who links an account must be signed in.
    #[error(transparent)]
    Asker(#[from] AskerError),
    /// Too many are under way.
    #[error("{FLOWS_MAX} browsers are at providers already")]
    Full,
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

impl From<DbError> for ArrivalError {
    fn from(error: DbError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

impl From<ring::error::Unspecified> for ArrivalError {
    fn from(_: ring::error::Unspecified) -> Self {
        Self::from(DbError::Row("the system gives no random bytes"))
    }
}

impl Desk {
    /// Sends somebody to a provider. `browser` is what their browser keeps already; with `link`, an
    /// access token, they are to come back with an account of who they are already.
    ///
    /// # Errors
    /// [`ArrivalError`].
    pub(crate) async fn depart(
        &self,
        name: &Name,
        browser: Option<Secret>,
        link: Option<&Secret>,
    ) -> Result<Departure, ArrivalError> {
        let provider = self.providers.find(name);
        let provider = provider.ok_or_else(|| ArrivalError::NotConfigured(name.clone()))?;
        let linking = match link {
            Some(access) => Some(self.linking(access).await?),
            None => None,
        };
        let now = self.clock.now();
        let flow = Flow::new()?;
        let authorization_url = provider.authorization_url(&flow, now).await?;
        // One for all flows of a browser, so that those in several tabs do not end each other.
        let browser = browser.map_or_else(unguessable, Ok)?;
        let sent = Sent {
            state_hash: hashed(&flow.state),
            browser_hash: hashed(&browser),
            provider: name.to_string(),
            nonce: flow.nonce,
            verifier: flow.verifier,
            linking,
            expires_at: now.plus(FLOW_LIFE),
        };
        let remember = move |tx: &Tx<'_>| {
            oauth_flows::forget(tx, now, SWEPT_ROWS)?;
            if oauth_flows::count(tx, FLOWS_MAX)? >= FLOWS_MAX {
                return Err(ArrivalError::Full);
            }
            Ok(oauth_flows::insert(tx, &sent)?)
        };
        self.database.write(remember).await?;
        Ok(Departure { authorization_url, state: flow.state, browser })
    }

    async fn linking(&self, access: &Secret) -> Result<Linking, AskerError> {
        let asker = self.asker(access).await?;
        Ok(Linking {
            user_id: asker.user.id,
            epoch: asker.user.epoch,
            session_id: asker.token.claims().session.as_deref().map(str::to_owned),
        })
    }

    /// Lets somebody in who comes back from a provider, or links the account they bring.
    ///
    /// # Errors
    /// [`ArrivalError`].
    pub(crate) async fn arrive(
        &self,
        name: &Name,
        back: Return,
        welcome: Welcome,
    ) -> Result<Arrival, ArrivalError> {
        let provider = self.providers.find(name);
        let provider = provider.ok_or_else(|| ArrivalError::NotConfigured(name.clone()))?;
        let sent = self.recognise(name, &back).await?;
        // Mixed up with another provider (RFC 9207 §2.4).
        if back.issuer.is_some_and(|issuer| !provider.is_issuer(&issuer)) {
            return Err(ArrivalError::State);
        }
        let code = back.code.ok_or(ArrivalError::Denied)?;
        let flow = Flow { state: back.state, nonce: sent.nonce, verifier: sent.verifier };
        let mut who = provider.identify(&code, &flow, self.clock.now()).await?;
        who.verified_email = who.verified_email.and_then(|email| as_kept(&email));
        match sent.linking {
            Some(linking) => self.link(name, who, linking).await.map(Box::new).map(Arrival::Linked),
            None => self.admit(name, who, welcome).await,
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
    ) -> Result<Arrival, ArrivalError> {
        let now = self.clock.now();
        let issuer = Arc::clone(&self.issuer);
        let code = unguessable()?;
        let code_hash = hashed(&code);
        let provider = name.to_string();
        let admitted = move |tx: &Tx<'_>| -> Result<_, ArrivalError> {
            let user = find_or_add(tx, &who, &provider, now)?;
            if !user.is_active {
                return Err(ArrivalError::Inactive);
            }
            if welcome == Welcome::Session {
                let (user, session) = begin(tx, &issuer, user, now)?;
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
    pub(crate) async fn exchange(&self, code: &Secret) -> Result<Pair, ArrivalError> {
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
                Some(user) if user.epoch == handed.epoch => begin(tx, &issuer, user, now),
                // Logged out everywhere, or gone, in the meantime.
                _ => Err(ArrivalError::Code),
            }
        };
        let (user, session) = self.database.write(exchanged).await?;
        self.welcome(&user, &session, "a code".to_owned())
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
                None => Ok(add_account(tx, &user, &who, &provider, now)?),
            }
        };
        let account = self.database.write(link).await?;
        tracing::info!(user.id = %account.user_id, "an account at {name} was linked");
        Ok(account)
    }
}

/// A provider's address in the one spelling that ours are kept in; `None` for one that is none, or
/// that another spelling would make somebody else's: what only looks like a letter is one here, and
/// may be another mailbox there.
fn as_kept(email: &str) -> Option<String> {
    let spelled = address_spelled(email);
    let is_it = email.is_ascii() || spelled == email;
    let fits = check_names(NAMELESS, Some(email)).is_empty();
    (is_it && fits).then(|| spelled.into_owned())
}

/// Who set out signed in, if they still are.
fn still_there(tx: &Tx<'_>, linking: &Linking) -> Result<User, ArrivalError> {
    let user = users::find(tx, By::Id, &linking.user_id)?;
    let user = user.filter(|user| user.is_active && user.epoch == linking.epoch);
    let session = match &linking.session_id {
        Some(id) => sessions::find(tx, id)?,
        None => None,
    };
    let over = session.is_some_and(|session| session.ended_at.is_some());
    user.filter(|_| !over).ok_or(ArrivalError::State)
}

/// The user whom `who` is, or is from now on.
fn find_or_add(
    tx: &Tx<'_>,
    who: &Attested,
    provider: &str,
    now: Timestamp,
) -> Result<User, ArrivalError> {
    if let Some(user) = known(tx, who, now)? {
        return Ok(user);
    }
    tx.alone_in(Room::Names)?;
    // They may have come in by another tab meanwhile.
    if let Some(user) = known(tx, who, now)? {
        return Ok(user);
    }
    let namesake = match &who.verified_email {
        Some(email) => users::find(tx, By::Email, email)?,
        None => None,
    };
    let user = match namesake {
        Some(user) if !user.is_active => return Err(ArrivalError::Inactive),
        Some(user) if !user.is_verified => return Err(ArrivalError::AddressTaken),
        Some(user) => {
            tracing::info!(
                user.id = %user.id,
                "an account at {provider} was linked: both sides know the address"
            );
            user
        }
        None => {
            let tier = Tier::parse(NEWCOMERS_TIER).map_err(|_| DbError::Row("a tier"))?;
            let user = newcomers::person(tx, who, &tier, now)?;
            users::insert(tx, &user, None)?;
            tracing::info!(user.id = %user.id, "{} came by {provider}", user.username);
            user
        }
    };
    add_account(tx, &user, who, provider, now)?;
    Ok(user)
}

/// The user to whom the account of `who` is linked.
fn known(tx: &Tx<'_>, who: &Attested, now: Timestamp) -> Result<Option<User>, DbError> {
    let find = || oauth_accounts::find(tx, &who.issuer, &who.subject);
    let Some(account) = find()? else { return Ok(None) };
    // Holds the user, as whoever unlinks does first.
    let user = users::find(tx, By::Id, &account.user_id)?;
    if find()?.is_none_or(|now| now.user_id != account.user_id) {
        return Ok(None);
    }
    oauth_accounts::used(tx, &account.id, who.verified_email.as_deref(), now)?;
    Ok(user)
}

fn add_account(
    tx: &Tx<'_>,
    user: &User,
    who: &Attested,
    provider: &str,
    now: Timestamp,
) -> Result<Account, DbError> {
    let account = Account {
        id: Uuid::now_v7().to_string(),
        user_id: user.id.clone(),
        provider: provider.to_owned(),
        issuer: who.issuer.clone(),
        subject: who.subject.clone(),
        email: who.verified_email.clone(),
        linked_at: now,
        last_used_at: now,
    };
    oauth_accounts::insert(tx, &account)?;
    Ok(account)
}

fn begin(
    tx: &Tx<'_>,
    issuer: &Issuer,
    user: User,
    now: Timestamp,
) -> Result<(Identity, Session), ArrivalError> {
    let user = Identity::from(user);
    let session = issuer.begin(&user, None, now);
    sessions::insert(tx, &session)?;
    users::signed_in(tx, &user.id, None, now)?;
    Ok((user, session))
}

/// What is kept of a secret that somebody is to show.
fn hashed(secret: &Secret) -> String {
    hex(digest(&SHA256, secret.expose().as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_only_looks_like_anothers_is_nobodys() {
        for (email, kept) in [
            ("ann@example.com", Some("ann@example.com")),
            ("Ann@Example.COM", Some("Ann@example.com")),
            ("j\u{fc}rgen@example.com", Some("j\u{fc}rgen@example.com")),
            ("\u{ff41}nn@example.com", None),
            ("ann@example\u{ff0e}com", None),
            ("ann@\u{24d4}xample.com", None),
            ("ann", None),
            ("ann @example.com", None),
            ("ann@example.com\n", None),
            ("", None),
        ] {
            assert_eq!(as_kept(email).as_deref(), kept, "{email}");
        }
    }
}
