//! Mail: through a server, or into the log of a developer's machine.

use std::time::Duration;

use kernel::secret::Secret;
use lettre::AsyncSmtpTransport;
use lettre::AsyncTransport;
use lettre::Message;
use lettre::Tokio1Executor;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::Tls;
use lettre::transport::smtp::client::TlsParameters;

use config::MailSecurity;

/// How long a server may take over each step.
const STEP_BUDGET: Duration = Duration::from_secs(10);

/// How long to wait before each further attempt.
const ATTEMPTS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// A mail to one person.
pub(crate) struct Letter {
    pub(crate) to: String,
    pub(crate) subject: &'static str,
    pub(crate) text: Secret,
}

/// Why mail cannot be sent, or was not. Its text never shows the letter.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// An address that is none.
    #[error("an address that no mail can be sent to or from")]
    Address(#[source] lettre::address::AddressError),
    /// A letter that cannot be written.
    #[error("the mail cannot be put together")]
    Letter(#[source] lettre::error::Error),
    /// The server, or the way to it.
    #[error("the mail server did not take it")]
    Server(#[source] smtp::Error),
}

/// Sends mail.
pub(crate) struct Mailer(Way);

enum Way {
    Server { transport: Box<AsyncSmtpTransport<Tokio1Executor>>, from: Box<Mailbox> },
    Log,
}

impl Mailer {
    /// Through the server that `mail` names. Nothing is sent yet.
    ///
    /// # Errors
    /// [`MailError::Address`] for a sender that is none, [`MailError::Server`] where there is no TLS.
    pub(crate) fn new(mail: &config::Mail) -> Result<Self, MailError> {
        let from = mail.from.parse().map(Box::new).map_err(MailError::Address)?;
        let parameters = || TlsParameters::new(mail.host.clone()).map_err(MailError::Server);
        let tls = match mail.security {
            MailSecurity::Tls => Tls::Wrapper(parameters()?),
            MailSecurity::StartTls => Tls::Required(parameters()?),
            MailSecurity::Loopback => Tls::None,
        };
        let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&*mail.host);
        let mut server = server.port(mail.port).tls(tls).timeout(Some(STEP_BUDGET));
        if let Some((name, password)) = &mail.credentials {
            let credentials = Credentials::new(name.clone(), password.expose().to_owned());
            server = server.credentials(credentials);
        }
        Ok(Self(Way::Server { transport: Box::new(server.build()), from }))
    }

    /// Into the log, for a developer to read.
    pub(crate) fn log() -> Self {
        Self(Way::Log)
    }

    /// Sends `letter`, trying again where the server may take it later.
    ///
    /// # Errors
    /// [`MailError`] of the last attempt.
    pub(crate) async fn send(&self, letter: &Letter) -> Result<(), MailError> {
        let Way::Server { transport, from } = &self.0 else {
            tracing::info!("mail to {}: {}\n{}", letter.to, letter.subject, letter.text.expose());
            return Ok(());
        };
        let message = message(from, letter)?;
        let mut waits = ATTEMPTS.iter();
        loop {
            let error = match transport.send(message.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match waits.next() {
                Some(wait) if !error.is_permanent() && !error.is_client() => {
                    tracing::warn!(
                        "mail was not taken, the next attempt is in {}ms: {error}",
                        wait.as_millis()
                    );
                    tokio::time::sleep(*wait).await;
                }
                _ => return Err(MailError::Server(error)),
            }
        }
    }
}

fn message(from: &Mailbox, letter: &Letter) -> Result<Message, MailError> {
    // An address alone, never a line with a name in it: who can choose one chooses no more.
    let to = letter.to.parse().map_err(MailError::Address)?;
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(letter.subject)
        .header(ContentType::TEXT_PLAIN)
        .body(letter.text.expose().to_owned())
        .map_err(MailError::Letter)
}

#[cfg(test)]
mod tests;
