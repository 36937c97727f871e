//! What is mailed to people, apart from whoever asked for it.
//!
//! Who asks gets an answer at once, and one answer: what becomes of it, in the database and at the
//! mail server, happens here, one after the other, behind a queue of known length.

use kernel::random::unguessable;
use kernel::secret::Secret;
use tokio::sync::mpsc;

use super::letters::Links;
use super::letters::letter;
use super::letters::life;
use super::names::address_spelled;
use crate::clock::Clock;
use crate::mail::MailError;
use crate::mail::Mailer;
use crate::store::database::Database;
use crate::store::fault::DbError;
use crate::store::mailed_tokens;
use crate::store::mailed_tokens::MailedToken;
use crate::store::mailed_tokens::Purpose;
use crate::store::sql::Sql;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;
use crate::store::values::hashed;

/// How many may wait for their mail.
pub(crate) const QUEUE_MAX: usize = 256;

/// The way to the post.
pub(crate) struct Post {
    queue: mpsc::Sender<Errand>,
    links: Links,
}

/// Who is to be mailed a token, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Whoever has this address, if anybody has, to set a new password.
    ResetPassword {
        /// As it was typed.
        address: String,
    },
    /// The person of this id, to show that their address is theirs, unless that is known.
    VerifyEmail {
        /// The id.
        user_id: String,
    },
}

/// Too many are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mail queue is full")]
pub(crate) struct PostFull;

/// All that the post works with.
pub(crate) struct PostOffice {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) mailer: Mailer,
    pub(crate) links: Links,
}

impl Post {
    /// Opens the office; it closes when nobody can bring anything any more.
    pub(crate) fn open(office: PostOffice) -> Self {
        let links = office.links.clone();
        let (queue, mut waiting) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(async move {
            while let Some(errand) = waiting.recv().await {
                office.run(errand).await;
            }
        });
        Self { queue, links }
    }

    /// Whether anybody is mailed for `purpose`.
    pub(crate) fn is_for(&self, purpose: Purpose) -> bool {
        self.links.of_purpose(purpose).is_some()
    }

    /// Sees to it that `errand` is run.
    ///
    /// # Errors
    /// [`PostFull`].
    pub(crate) fn take(&self, errand: Errand) -> Result<(), PostFull> {
        self.queue.try_send(errand).map_err(|_| PostFull)
    }
}

impl Errand {
    const fn purpose(&self) -> Purpose {
        match self {
            Self::ResetPassword { .. } => Purpose::ResetPassword,
            Self::VerifyEmail { .. } => Purpose::VerifyEmail,
        }
    }

    /// Who is meant, if they are there, and it is of use to them.
    fn addressee(&self, sql: &Sql<'_>) -> Result<Option<User>, DbError> {
        let found = match self {
            Self::ResetPassword { address } => match users::find(sql, By::Email, address)? {
                Some(user) => Some(user),
                None => users::find(sql, By::Email, &address_spelled(address))?,
            },
            Self::VerifyEmail { user_id } => {
                users::find(sql, By::Id, user_id)?.filter(|user| !user.is_verified)
            }
        };
        Ok(found.filter(|user| user.is_active))
    }
}

impl PostOffice {
    async fn run(&self, errand: Errand) {
        let purpose = errand.purpose();
        let Some(link) = self.links.of_purpose(purpose) else { return };
        let (user, address, token) = match self.make_token(errand).await {
            Ok(Some(made)) => made,
            // Nobody is told that there is no such person, not even the log.
            Ok(None) => return,
            Err(error) => {
                tracing::error!("no token could be made {}: {error}", end(purpose));
                return;
            }
        };
        match self.mailer.send(&letter(purpose, address, link, &token)).await {
            Ok(()) => tracing::info!(user.id = %user.id, "a token {} was mailed", end(purpose)),
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                let cause = cause.source().map_or_else(String::new, |cause| format!(": {cause}"));
                tracing::error!(user.id = %user.id, "a mail was not sent: {error}{cause}");
            }
        }
    }

    /// A token for whoever is meant and may come in, and the address that it is for.
    async fn make_token(&self, errand: Errand) -> Result<Option<(User, String, Secret)>, DbError> {
        let now = self.clock.now();
        let token = unguessable()?;
        let token_hash = hashed(&token);
        let purpose = errand.purpose();
        let act = move |tx: &Tx<'_>| {
            let Some(user) = errand.addressee(tx)? else { return Ok(None) };
            let Some(email) = user.email.clone() else { return Ok(None) };
            let mailed = MailedToken {
                token_hash,
                user_id: user.id.clone(),
                email: email.clone(),
                expires_at: now.plus(life(purpose)),
            };
            mailed_tokens::insert(tx, purpose, &mailed, now)?;
            Ok::<_, DbError>(Some((user, email)))
        };
        let made = self.database.write(act).await?;
        Ok(made.map(|(user, email)| (user, email, token)))
    }
}

/// What a token for `purpose` is good for, as the log has it.
const fn end(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::ResetPassword => "to reset a password with",
        Purpose::VerifyEmail => "to verify an address with",
    }
}

/// The post of this configuration: a server, or a developer's log; `None` where there is none.
///
/// # Errors
/// [`MailError`] of a server that cannot be.
pub(crate) fn office(
    config: &config::Config,
    database: &Database,
    clock: &Clock,
) -> Result<Option<PostOffice>, MailError> {
    let mailer = match &config.mail {
        Some(mail) => Mailer::new(mail)?,
        None if config.environment == config::Environment::Dev => Mailer::log(),
        None => return Ok(None),
    };
    let (database, clock, links) = (database.clone(), clock.clone(), Links::of(config));
    Ok(Some(PostOffice { database, clock, mailer, links }))
}
