//! Who did what to whom: the audit log.
//!
//! What changes something is noted in the transaction that changes it: there is no change without
//! its note. What changes nothing (a sign-in that failed) is noted afterwards, by a task of its
//! own, so that nobody waits for it or learns anything from waiting.

use std::net::IpAddr;

use kernel::time::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::user_agent::UserAgent;
use crate::store::audit;
use crate::store::audit::Act;
use crate::store::database::Database;
use crate::store::fault::DbError;
use crate::store::sql::Tx;
use crate::store::users::Identity;
use crate::store::users::User;

/// How many notes of failures may wait to be written; more are left to the log.
pub(crate) const NOTES_WAITING_MAX: usize = 1024;

/// The longest name of somebody unknown that is noted, in characters.
const NAME_CHARS_MAX: usize = 64;

/// On whose behalf something is done.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Who asks, if that is known.
    pub actor: Option<Actor>,
    /// The request; `None`: the command line.
    pub request_id: Option<String>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<UserAgent>,
}

/// A person who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Their id.
    pub id: String,
    /// Their name.
    pub name: String,
}

impl From<&Identity> for Actor {
    fn from(user: &Identity) -> Self {
        Self { id: user.id.clone(), name: user.username.clone() }
    }
}

impl From<&User> for Actor {
    fn from(user: &User) -> Self {
        Self { id: user.id.clone(), name: user.username.clone() }
    }
}

/// What is done. A name once published keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    UserCreated,
    UserChanged,
    UserDisabled,
    UserEnabled,
    UserDeleted,
    UserUnlocked,
    PasswordSet,
    SessionEnded,
    SessionsEnded,
    SignedIn,
    SignInFailed,
    LoggedOut,
    RefreshReused,
    PasswordChanged,
    PasswordChangeFailed,
    PasswordReset,
    EmailVerified,
    AccountLinked,
    AccountLinkFailed,
    AccountUnlinked,
    TokenMinted,
    TokenRevoked,
    KeyAdded,
    KeyRotated,
    KeyDistrusted,
    PeopleImported,
}

impl Deed {
    const fn as_str(self) -> &'static str {
        match self {
            Self::UserCreated => "user.created",
            Self::UserChanged => "user.changed",
            Self::UserDisabled => "user.disabled",
            Self::UserEnabled => "user.enabled",
            Self::UserDeleted => "user.deleted",
            Self::UserUnlocked => "user.unlocked",
            Self::PasswordSet => "password.set",
            Self::SessionEnded => "session.ended",
            Self::SessionsEnded => "sessions.ended",
            Self::SignedIn => "sign_in.succeeded",
            Self::SignInFailed => "sign_in.failed",
            Self::LoggedOut => "logout",
            Self::RefreshReused => "refresh.reused",
            Self::PasswordChanged => "password.changed",
            Self::PasswordChangeFailed => "password.change_failed",
            Self::PasswordReset => "password.reset",
            Self::EmailVerified => "email.verified",
            Self::AccountLinked => "account.linked",
            Self::AccountLinkFailed => "account.link_failed",
            Self::AccountUnlinked => "account.unlinked",
            Self::TokenMinted => "token.minted",
            Self::TokenRevoked => "token.revoked",
            Self::KeyAdded => "key.added",
            Self::KeyRotated => "key.rotated",
            Self::KeyDistrusted => "key.distrusted",
            Self::PeopleImported => "people.imported",
        }
    }

    const fn outcome(self) -> &'static str {
        match self {
            Self::SignInFailed
            | Self::RefreshReused
            | Self::PasswordChangeFailed
            | Self::AccountLinkFailed => "failure",
            _ => "success",
        }
    }
}

impl Origin {
    /// The same, once it is known who asks.
    pub(crate) fn by(self, actor: impl Into<Actor>) -> Self {
        Self { actor: Some(actor.into()), ..self }
    }

    /// A note that `deed` was done to `target` at `at`.
    pub(crate) fn did(&self, deed: Deed, target: Option<Actor>, at: Timestamp) -> Act {
        let (actor_id, actor_name) = match &self.actor {
            Some(actor) => (Some(actor.id.clone()), Some(actor.name.clone())),
            None if self.request_id.is_none() => (None, Some("command line".to_owned())),
            None => (None, None),
        };
        let (target_id, target_name) = target.map(|target| (target.id, target.name)).unzip();
        Act {
            id: Uuid::now_v7().to_string(),
            at,
            action: deed.as_str().to_owned(),
            outcome: deed.outcome().to_owned(),
            actor_id,
            actor_name,
            target_id: target_id.filter(|id| !id.is_empty()),
            target_name: target_name.map(|name| plain(&name)),
            request_id: self.request_id.clone(),
            client: self.client.map(|client| client.to_string()),
            detail: None,
        }
    }
}

/// A name as it can be kept: whoever signs in may type anything.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

/// Notes within a transaction that `deed` was done to `target`, and what was changed.
///
/// # Errors
/// [`DbError`].
pub(crate) fn note(
    tx: &Tx<'_>,
    origin: &Origin,
    deed: Deed,
    target: impl Into<Option<Actor>>,
    detail: Option<String>,
    at: Timestamp,
) -> Result<(), DbError> {
    audit::add(tx, &Act { detail, ..origin.did(deed, target.into(), at) })
}

/// Where notes of failures wait to be written.
pub(crate) struct Notes(mpsc::Sender<Act>);

impl Notes {
    /// Begins with none; the receiver is for [`write_notes`].
    pub(crate) fn new() -> (Self, mpsc::Receiver<Act>) {
        let (notes, waiting) = mpsc::channel(NOTES_WAITING_MAX);
        (Self(notes), waiting)
    }

    /// Adds one, or drops it where too many wait: the log has a line of it in any case.
    pub(crate) fn add(&self, act: Act) {
        // A full queue is a flood, and a flood must not fill the disk.
        let _ = self.0.try_send(act);
    }
}

/// Writes down what waits, until nobody is left who could add to it.
pub(crate) async fn write_notes(database: Database, mut waiting: mpsc::Receiver<Act>) {
    let mut acts = Vec::new();
    while waiting.recv_many(&mut acts, NOTES_WAITING_MAX).await > 0 {
        let batch = std::mem::take(&mut acts);
        let count = batch.len();
        let write = move |tx: &Tx<'_>| batch.iter().try_for_each(|act| audit::add(tx, act));
        if let Err(error) = database.write::<(), DbError>(write).await {
            tracing::warn!("{count} failures are missing in the audit log: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_of_failures_1024_wait_and_the_rest_is_left_to_the_log() {
        let (notes, mut waiting) = Notes::new();
        for number in 0..=NOTES_WAITING_MAX {
            let who = Actor { id: String::new(), name: number.to_string() };
            notes.add(Origin::default().did(Deed::SignInFailed, Some(who), Timestamp::default()));
        }
        let mut names = Vec::new();
        while let Ok(act) = waiting.try_recv() {
            names.push(act.target_name.unwrap());
        }
        assert_eq!(names.len(), NOTES_WAITING_MAX);
        assert_eq!(names.last().unwrap(), &(NOTES_WAITING_MAX - 1).to_string());
    }

    #[test]
    fn a_name_is_noted_without_what_cannot_be_shown_and_to_64_characters() {
        assert_eq!(plain("a\0b\u{1b}[31m\n"), "ab[31m");
        assert_eq!(plain(&"é".repeat(NAME_CHARS_MAX + 1)), "é".repeat(NAME_CHARS_MAX));
    }
}
