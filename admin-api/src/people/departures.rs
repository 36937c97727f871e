//! Setting out for a provider.

use std::time::Duration;

use kernel::random::unguessable;
use kernel::secret::Secret;

use super::desk::Desk;
use super::turned_away::ArrivalError;
use super::turned_away::FLOWS_MAX;
use crate::prefix::Prefix;
use crate::providers::flow::Flow;
use crate::providers::registry::Name;
use crate::store::oauth_flows;
use crate::store::oauth_flows::Linking;
use crate::store::oauth_flows::Sent;
use crate::store::sessions;
use crate::store::sql::Tx;
use crate::store::values::hashed;

/// How long somebody may take at a provider.
pub(crate) const FLOW_LIFE: Duration = Duration::from_secs(600);

/// How long ago somebody may have signed in who links an account.
pub(crate) const SIGNED_IN_WITHIN: Duration = Duration::from_secs(600);

/// How many old rows whoever sets out sweeps up.
const SWEPT_ROWS: u32 = 100;

/// Somebody sets out for a provider.
pub(crate) struct Departure {
    /// Where the browser is to go.
    pub(crate) authorization_url: String,
    /// What it is to come back with.
    pub(crate) state: Secret,
    /// What it is to keep meanwhile.
    pub(crate) browser: Secret,
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
        from: Prefix,
        browser: Option<Secret>,
        link: Option<&Secret>,
    ) -> Result<Departure, ArrivalError> {
        let provider = self.providers.find(name);
        let provider = provider.ok_or_else(|| ArrivalError::NotConfigured(name.clone()))?;
        let now = self.clock.now();
        // Not forgiven: each takes room for as long as it may take, wherever it goes.
        let _counted = self.throttle.departure(from, now).await?;
        let linking = match link {
            Some(access) => Some(self.linking(access).await?),
            None => None,
        };
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

    /// Who is to get another way in. A linked account outlives every token, so it takes more than
    /// one to link it: a session that began just now, and a token that carries all its scopes.
    async fn linking(&self, access: &Secret) -> Result<Linking, ArrivalError> {
        let asker = self.asker(access).await?;
        let claims = asker.token.claims();
        let session_id = claims.session.as_deref().ok_or(ArrivalError::SignInAgain)?.to_owned();
        let id = session_id.clone();
        let session = self.database.read(move |sql| sessions::find(sql, &id)).await?;
        let session = session.ok_or(ArrivalError::SignInAgain)?;
        let now = self.clock.now();
        let (user_id, epoch) = (asker.user.id.clone(), asker.user.epoch);
        let all = self.roles.grant(&asker.user.into(), session.asked_scopes.as_deref());
        let is_whole = all.iter().all(|scope| claims.scopes.iter().any(|has| **has == **scope));
        if now.since(session.created_at) > SIGNED_IN_WITHIN || !is_whole {
            return Err(ArrivalError::SignInAgain);
        }
        Ok(Linking { user_id, epoch, session_id })
    }
}
