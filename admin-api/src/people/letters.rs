//! The letters that people are mailed, each with a token in it, and where its link leads.

use std::time::Duration;

use kernel::secret::Secret;

use crate::mail::Letter;
use crate::store::mailed_tokens::Purpose;

/// How long a token to set a new password with is good.
pub(crate) const RESET_LIFE: Duration = Duration::from_secs(30 * 60);

/// How long a token to verify an address with is good.
pub(crate) const VERIFY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How a token gets from a letter to the page that takes it.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// Behind the address of that page.
    To(String),
    /// By hand, on a developer's machine.
    ByHand,
}

/// How each kind of token gets there; `None`: no way is known, so nobody is mailed one.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    reset_password: Option<Link>,
    verify_email: Option<Link>,
}

impl Links {
    /// As the configuration says.
    pub(crate) fn of(config: &config::Config) -> Self {
        let is_dev = config.environment == config::Environment::Dev;
        let link = |page: Option<&String>| match page {
            Some(page) => Some(Link::To(page.clone())),
            None => is_dev.then_some(Link::ByHand),
        };
        let front_end = config.auth.frontend_url.as_ref();
        Self {
            reset_password: link(config.auth.reset_url.as_ref().or(front_end)),
            verify_email: link(front_end.or(config.listen.public_url.as_ref())),
        }
    }

    /// That of tokens for `purpose`.
    pub(crate) fn of_purpose(&self, purpose: Purpose) -> Option<&Link> {
        match purpose {
            Purpose::ResetPassword => self.reset_password.as_ref(),
            Purpose::VerifyEmail => self.verify_email.as_ref(),
        }
    }
}

/// How long a token for `purpose` is good.
pub(crate) const fn life(purpose: Purpose) -> Duration {
    match purpose {
        Purpose::ResetPassword => RESET_LIFE,
        Purpose::VerifyEmail => VERIFY_LIFE,
    }
}

/// The letter that brings `token` to the address `to`.
pub(crate) fn letter(purpose: Purpose, to: String, link: &Link, token: &Secret) -> Letter {
    match purpose {
        Purpose::ResetPassword => {
            Letter { to, subject: "Set a new password", text: reset(link, token) }
        }
        Purpose::VerifyEmail => {
            Letter { to, subject: "Confirm your address", text: verify(link, token) }
        }
    }
}

fn reset(link: &Link, token: &Secret) -> Secret {
    let minutes = RESET_LIFE.as_secs() / 60;
    let how = way("choose a new one", link, "reset_token", token);
    Secret::new(format!(
        "Somebody, perhaps you, asked for a new password for this address.\n\n\
         {how}\n\
         It works once, for {minutes} minutes, and signs you out everywhere.\n\
         If it was not you, leave this mail alone: your password stays as it is.\n"
    ))
}

fn verify(link: &Link, token: &Secret) -> Secret {
    let hours = VERIFY_LIFE.as_secs() / (60 * 60);
    let how = way("confirm that it is yours", link, "verify_token", token);
    Secret::new(format!(
        "Somebody, perhaps you, has an account here with this address.\n\n\
         {how}\n\
         It works once, for {hours} hours.\n\
         If it was not you, leave this mail alone: the address stays unconfirmed.\n"
    ))
}

/// What to do to `end`.
fn way(end: &str, link: &Link, name: &str, token: &Secret) -> String {
    let token = token.expose();
    match link {
        // Behind a `#` it is sent to no server, and stands in no log and no Referer.
        Link::To(page) => format!("To {end}, open\n\n{page}#{name}={token}\n"),
        Link::ByHand => format!("The token to {end} with is\n\n{token}\n"),
    }
}
