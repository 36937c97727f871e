//! Tokens, the keys that sign them, and the ways to sign in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::keys::Algorithm;
use kernel::limit::Quota;
use kernel::secret::Secret;

/// Tokens, keys and sign-in.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The `iss` of tokens made here.
    pub issuer: String,
    /// The `aud` of tokens made here, and demanded of them.
    pub audience: Option<String>,
    /// How long an access token lives.
    pub access_ttl: Duration,
    /// How long a session lives without being refreshed.
    pub refresh_ttl: Duration,
    /// By how much clocks may differ, on both sides of `exp` and `nbf`.
    pub leeway: Duration,
    /// The farthest `exp` from now that is accepted.
    pub lifetime_max: Duration,
    /// Where the browser goes after signing in with a provider.
    pub frontend_url: Option<String>,
    /// Whether the tokens themselves go there, in the query, as in the replaced system; else a
    /// code that is exchanged for them.
    pub frontend_tokens_in_query: bool,
    /// Whether tokens of the replaced system (no `iss`, `jti`, `iat`) are accepted.
    pub accept_legacy: bool,
    /// The keys; the first signs, all verify. Empty: the caller makes one.
    pub keys: Vec<Key>,
    /// What keys that are made and kept in the database are for, ES256 or EdDSA; then one of them
    /// signs. `None`: the first of `keys` signs.
    pub stored_key_alg: Option<Algorithm>,
    /// What private keys in the database are sealed under; `None`: the caller makes one.
    pub key_encryption_key: Option<Secret>,
    /// How old what is known of revocations may be, where a route says so.
    pub revocation_stale_after: Duration,
    /// How many bytes of verified tokens are remembered.
    pub token_cache_bytes: usize,
    /// The pool that hashes passwords.
    pub hashing: Hashing,
    /// The fewest characters of a new password; at least 8.
    pub password_chars_min: usize,
    /// Where a browser goes to set a new password.
    pub reset_url: Option<String>,
    /// Whether a refresh gives the same refresh token again, for clients that keep their first: a
    /// copy of it can then not be told from it.
    pub keep_refresh_token: bool,
    /// Whether anybody may register.
    pub registration: bool,
    /// How often passwords may be tried.
    pub throttle: Throttle,
    /// Sign-in by others.
    pub oauth: OAuth,
}

/// The pool that hashes passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// How many hashes run at one time.
    pub threads: usize,
    /// How many more may wait; past it the answer is 503.
    pub queue_max: usize,
}

/// How often passwords may be tried, by attempts that fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// On one account, from anywhere.
    pub account: Arc<[Quota]>,
    /// From one address, on any account.
    pub address: Arc<[Quota]>,
    /// From one address on one account.
    pub pair: Arc<[Quota]>,
    /// From a device on which the account's owner signed in before.
    pub device: Arc<[Quota]>,
    /// Mails to one address, for resetting a password or verifying the address.
    pub reset: Arc<[Quota]>,
    /// Registrations, requests for mail, and mailed tokens shown, from one address.
    pub register: Arc<[Quota]>,
    /// Browsers sent to a provider, from one address.
    pub provider: Arc<[Quota]>,
    /// The most counters kept in memory.
    pub keys_max: usize,
}

/// A key, bound to one algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The name that stands in a token's header.
    pub kid: String,
    /// The one algorithm it is for.
    pub alg: Algorithm,
    /// The shared secret of an [`Algorithm::HS256`] key, and of no other.
    pub secret: Option<Secret>,
    /// The PEM private key of the other algorithms; a key without one only verifies.
    pub private_key: Option<Secret>,
    /// The PEM public key of the other algorithms.
    pub public_key: Option<Secret>,
}

/// The providers people may sign in with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OAuth {
    /// Google.
    pub google: Option<Provider>,
    /// GitHub.
    pub github: Option<Provider>,
    /// Other OpenID Connect providers, by the name in `/auth/oidc/{name}`.
    pub oidc: BTreeMap<String, Provider>,
}

/// A provider of identities; a URL that is `None` comes from discovery at `issuer`.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// Our name there.
    pub client_id: String,
    /// Our password there.
    pub client_secret: Secret,
    /// Where the browser comes back to; `None`: made of `listen.public_url`.
    pub redirect_uri: Option<String>,
    /// What we ask for.
    pub scopes: Vec<String>,
    /// The `iss` of its id tokens, and where discovery begins; GitHub has none.
    pub issuer: Option<String>,
    /// Where the browser is sent.
    pub authorization_url: Option<String>,
    /// Where a code becomes a token.
    pub token_url: Option<String>,
    /// Where a token becomes a person.
    pub userinfo_url: Option<String>,
    /// Where GitHub lists the person's addresses.
    pub emails_url: Option<String>,
    /// Where its keys are published.
    pub jwks_url: Option<String>,
}

/// An issuer of tokens other than Doorward itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The exact `iss`.
    pub issuer: String,
    /// Where its keys are published.
    pub jwks_url: String,
    /// The audiences of which a token must name one; never empty.
    pub audiences: Vec<String>,
}
