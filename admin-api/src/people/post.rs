//! What is mailed to people, apart from whoever asked for it.
//!
//! Who asks gets an answer at once, and one answer: what becomes of it, in the database and at the
//! mail server, happens here, one after the other, behind a queue of known length.

use std::time::Duration;

use kernel::random::unguessable;
use kernel::secret::Secret;
use tokio::sync::mpsc;

use super::names::address_spelled;
use crate::clock::Clock;
use crate::mail::Letter;
use crate::mail::MailError;
use crate::mail::Mailer;
use crate::store::database::Database;
use crate::store::fault::DbError;
use crate::store::mailed_tokens;
use crate::store::mailed_tokens::MailedToken;
use crate::store::mailed_tokens::Purpose;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;
use crate::store::values::hashed;

/// How many may wait for their mail.
pub(crate) const QUEUE_MAX: usize = 256;

/// How long a mailed token is good.
pub(crate) const RESET_LIFE: Duration = Duration::from_secs(30 * 60);

const SUBJECT: &str = "Set a new password";

/// The way to the post.
#[derive(Clone)]
pub(crate) struct Post(mpsc::Sender<String>);

/// Too many are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mail queue is full")]
pub(crate) struct PostFull;

/// All that the post works with.
pub(crate) struct PostOffice {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) mailer: Mailer,
    /// Where a browser goes with a token; `None`: the token is mailed as it is.
    pub(crate) reset_url: Option<String>,
}

impl Post {
    /// Opens the office; it closes when nobody can bring anything any more.
    pub(crate) fn open(office: PostOffice) -> Self {
        let (queue, mut waiting) = mpsc::channel::<String>(QUEUE_MAX);
        tokio::spawn(async move {
            while let Some(address) = waiting.recv().await {
                office.mail_reset(&address).await;
            }
        });
        Self(queue)
    }

    /// Sees to it that whoever has `address` is mailed a token, if anybody has it.
    ///
    /// # Errors
    /// [`PostFull`].
    pub(crate) fn reset(&self, address: &str) -> Result<(), PostFull> {
        self.0.try_send(address.to_owned()).map_err(|_| PostFull)
    }
}

impl PostOffice {
    async fn mail_reset(&self, address: &str) {
        let (user, token) = match self.make_token(address).await {
            Ok(Some(made)) => made,
            // Nobody is told that there is no such person, not even the log.
            Ok(None) => return,
            Err(error) => {
                tracing::error!("no token could be made to reset a password with: {error}");
                return;
            }
        };
        let letter = Letter {
            to: user.email.unwrap_or_default(),
            subject: SUBJECT,
            text: self.text(&token),
        };
        match self.mailer.send(&letter).await {
            Ok(()) => tracing::info!(user.id = %user.id, "a token to reset a password was mailed"),
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                let cause = cause.source().map_or_else(String::new, |cause| format!(": {cause}"));
                tracing::error!(user.id = %user.id, "a mail was not sent: {error}{cause}");
            }
        }
    }

    /// A token for whoever has `address` and may come in.
    async fn make_token(&self, address: &str) -> Result<Option<(User, Secret)>, DbError> {
        let now = self.clock.now();
        let token = unguessable()?;
        let token_hash = hashed(&token);
        let address = address.to_owned();
        let act = move |tx: &Tx<'_>| {
            let user = match users::find(tx, By::Email, &address)? {
                Some(user) => Some(user),
                None => users::find(tx, By::Email, &address_spelled(&address))?,
            };
            let Some(user) = user.filter(|user| user.is_active) else { return Ok(None) };
            let mailed = MailedToken {
                token_hash,
                user_id: user.id.clone(),
                email: user.email.clone().unwrap_or_default(),
                expires_at: now.plus(RESET_LIFE),
            };
            mailed_tokens::insert(tx, Purpose::ResetPassword, &mailed, now)?;
            Ok::<_, DbError>(Some(user))
        };
        Ok(self.database.write(act).await?.map(|user| (user, token)))
    }

    fn text(&self, token: &Secret) -> Secret {
        let minutes = RESET_LIFE.as_secs() / 60;
        let token = token.expose();
        let how = match &self.reset_url {
            // Behind a `#` it is sent to no server, and stands in no log and no Referer.
            Some(url) => format!("To choose a new one, open\n\n{url}#reset_token={token}\n"),
            None => format!("The token to choose a new one with is\n\n{token}\n"),
        };
        Secret::new(format!(
            "Somebody, perhaps you, asked for a new password for this address.\n\n\
             {how}\n\
             It works once, for {minutes} minutes, and signs you out everywhere.\n\
             If it was not you, leave this mail alone: your password stays as it is.\n"
        ))
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
    let is_dev = config.environment == config::Environment::Dev;
    let reset_url = config.auth.reset_url.clone().or_else(|| config.auth.frontend_url.clone());
    let mailer = match &config.mail {
        Some(mail) => Mailer::new(mail)?,
        None if is_dev => Mailer::log(),
        None => return Ok(None),
    };
    if reset_url.is_none() && !is_dev {
        return Ok(None);
    }
    Ok(Some(PostOffice { database: database.clone(), clock: clock.clone(), mailer, reset_url }))
}
