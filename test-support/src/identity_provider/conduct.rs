//! Who signs in there next, and how the provider misbehaves.

/// Somebody with an account at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who they are in id tokens.
    pub subject: String,
    /// Who they are on GitHub.
    pub number: u64,
    /// What they are called.
    pub login: String,
    /// Their whole name.
    pub name: Option<String>,
    /// Their address.
    pub email: Option<String>,
    /// Whether it is known to be theirs.
    pub email_verified: bool,
}

impl Person {
    /// Somebody with a verified address at `example.com`.
    pub fn called(login: &str) -> Self {
        Self {
            subject: format!("subject-of-{login}"),
            number: login.bytes().fold(7, |number, byte| number * 31 % 1_000_003 + u64::from(byte)),
            login: login.to_owned(),
            name: None,
            email: Some(format!("{login}@example.com")),
            email_verified: true,
        }
    }

    /// The same person with another address.
    #[must_use]
    pub fn at(self, email: &str) -> Self {
        Self { email: Some(email.to_owned()), ..self }
    }

    /// The same person, whose address nobody has looked at.
    #[must_use]
    pub fn unverified(self) -> Self {
        Self { email_verified: false, ..self }
    }
}

/// How a page goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answers with this status, and a JSON body.
    Status(u16),
    /// It answers 200 with a page for people.
    Html,
    /// It answers nothing, and stays.
    Hang,
    /// It answers nothing, and leaves.
    Close,
    /// It answers 200 with so many bytes of JSON.
    Huge(usize),
    /// It leads elsewhere.
    Redirect,
}

/// How an id token goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Another nonce.
    Nonce,
    /// No nonce.
    NoNonce,
    /// For another client.
    Audience,
    /// For several, and handed to another.
    AuthorizedParty,
    /// Of another issuer.
    Issuer,
    /// Expired an hour ago.
    Expired,
    /// Unsigned.
    AlgNone,
    /// Signed with the public key as if it were a secret.
    PublicKeyAsSecret,
    /// Of a key that nobody publishes.
    UnknownKid,
    /// With a signature that does not hold.
    Signature,
    /// Without a word on the address, which the userinfo endpoint knows.
    NoEmail,
    /// The same, where the userinfo endpoint speaks of somebody else.
    OthersUserinfo,
    /// None at all.
    Missing,
}
