//! Why somebody who comes by a provider is not let in, as they and the log read it.

use std::time::Duration;

use http::StatusCode;
use kernel::problem::ErrorCode;

use crate::people::accounts::UnlinkError;
use crate::people::turned_away::ACCOUNTS_MAX;
use crate::people::turned_away::ArrivalError;
use crate::providers::attested::ProviderError;
use crate::providers::registry::Name;

/// A refusal, with what only the log may know of it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct NotLetIn {
    reason: Reason,
    why: String,
}

#[derive(Clone, Copy, Debug)]
enum Reason {
    GoogleNotConfigured,
    GithubNotConfigured,
    State,
    Denied,
    Code,
    Exchange,
    Person,
    Unavailable(Duration),
    Inactive,
    AddressTaken,
    OthersAccount,
    TooManyAccounts,
    SignInAgain,
    LastWayIn,
}

impl NotLetIn {
    /// Of those errors that are about this; others are given back.
    ///
    /// # Errors
    /// The error, where another kind of refusal is for it.
    pub(crate) fn of_arrival(error: ArrivalError) -> Result<Self, ArrivalError> {
        let reason = match &error {
            ArrivalError::NotConfigured(Name::Google) => Reason::GoogleNotConfigured,
            ArrivalError::NotConfigured(Name::Github) => Reason::GithubNotConfigured,
            ArrivalError::State => Reason::State,
            ArrivalError::Denied => Reason::Denied,
            ArrivalError::Code => Reason::Code,
            ArrivalError::Provider(ProviderError::Exchange(_)) => Reason::Exchange,
            ArrivalError::Provider(ProviderError::Person(_)) => Reason::Person,
            ArrivalError::Provider(ProviderError::Unavailable { retry_after, .. }) => {
                Reason::Unavailable(*retry_after)
            }
            ArrivalError::Inactive => Reason::Inactive,
            ArrivalError::AddressTaken => Reason::AddressTaken,
            ArrivalError::OthersAccount => Reason::OthersAccount,
            ArrivalError::TooManyAccounts => Reason::TooManyAccounts,
            ArrivalError::SignInAgain => Reason::SignInAgain,
            ArrivalError::NotConfigured(Name::Oidc(_))
            | ArrivalError::Asker(_)
            | ArrivalError::Throttled(_)
            | ArrivalError::Full
            | ArrivalError::OutOfOrder(_) => return Err(error),
        };
        Ok(Self { reason, why: error.to_string() })
    }

    /// Of those errors that are about this; others are given back.
    ///
    /// # Errors
    /// The error, where another kind of refusal is for it.
    pub(crate) fn of_unlinking(error: UnlinkError) -> Result<Self, UnlinkError> {
        match error {
            UnlinkError::LastWayIn => {
                Ok(Self { reason: Reason::LastWayIn, why: error.to_string() })
            }
            UnlinkError::Unknown | UnlinkError::OutOfOrder(_) => Err(error),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self.reason {
            Reason::GoogleNotConfigured | Reason::GithubNotConfigured => {
                StatusCode::NOT_IMPLEMENTED
            }
            Reason::State | Reason::Denied | Reason::Code | Reason::Exchange | Reason::Person => {
                StatusCode::BAD_REQUEST
            }
            Reason::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Reason::Inactive => StatusCode::UNAUTHORIZED,
            Reason::SignInAgain => StatusCode::FORBIDDEN,
            Reason::AddressTaken
            | Reason::OthersAccount
            | Reason::TooManyAccounts
            | Reason::LastWayIn => StatusCode::CONFLICT,
        }
    }

    pub(crate) fn error_code(&self) -> ErrorCode {
        match self.reason {
            Reason::GoogleNotConfigured | Reason::GithubNotConfigured => ErrorCode::NotConfigured,
            Reason::State => ErrorCode::InvalidState,
            Reason::Denied => ErrorCode::SignInDenied,
            Reason::Code => ErrorCode::InvalidCode,
            Reason::Exchange | Reason::Person => ErrorCode::ProviderFailed,
            Reason::Unavailable(_) => ErrorCode::ProviderUnavailable,
            Reason::Inactive => ErrorCode::InvalidCredentials,
            Reason::SignInAgain => ErrorCode::Forbidden,
            Reason::AddressTaken
            | Reason::OthersAccount
            | Reason::TooManyAccounts
            | Reason::LastWayIn => ErrorCode::Conflict,
        }
    }

    /// What the client reads; the strings of the replaced system where it had one.
    pub(crate) fn detail(&self) -> String {
        let text = match self.reason {
            Reason::GoogleNotConfigured => "Google OAuth2 not configured",
            Reason::GithubNotConfigured => "GitHub OAuth2 not configured",
            Reason::State => "Invalid or expired state",
            Reason::Denied => "Sign-in was denied at the provider",
            Reason::Code => "Invalid or expired code",
            Reason::Exchange => "Failed to exchange code for token",
            Reason::Person => "Failed to get user info",
            Reason::Unavailable(_) => "Sign-in provider unavailable. Please try again later.",
            Reason::Inactive => "Could not validate credentials",
            Reason::AddressTaken => {
                "A user with this e-mail address exists. Sign in as that user and link this \
                 account."
            }
            Reason::OthersAccount => "This account is linked to another user",
            Reason::TooManyAccounts => {
                return format!("At most {ACCOUNTS_MAX} accounts can be linked");
            }
            Reason::SignInAgain => "Sign in again before linking an account",
            Reason::LastWayIn => "The last way to sign in cannot be removed",
        };
        text.to_owned()
    }

    /// When it is worth another try.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.reason {
            Reason::Unavailable(wait) => Some(wait),
            _ => None,
        }
    }

    /// Whether it is somebody's failure to show who they are, or the provider's to say.
    pub(crate) fn is_of_authentication(&self) -> bool {
        !matches!(self.reason, Reason::LastWayIn)
    }
}
