//! Mail.

use kernel::secret::Secret;

/// How mail is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// The server's name or address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How what is said to it is kept secret.
    pub security: MailSecurity,
    /// The sender, as it stands in the mail.
    pub from: String,
    /// Our name and password there.
    pub credentials: Option<(String, Secret)>,
}

/// How what is said to a mail server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the start.
    Tls,
    /// TLS before anything else is said, or nothing is.
    StartTls,
    /// In the clear: it does not leave this machine.
    Loopback,
}
