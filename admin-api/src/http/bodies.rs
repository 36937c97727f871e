//! What requests carry, for the published document alone: handlers read bodies by `fields`, which
//! names all faults at once. A test holds each of these against what its handler takes.

#![expect(dead_code, reason = "nobody reads them: only their shapes are published")]

use utoipa::ToSchema;

/// Signing in with a password.
#[derive(ToSchema)]
pub(crate) struct Login {
    /// `password`, if it is said at all.
    grant_type: Option<String>,
    /// A user name or an e-mail address.
    username: String,
    #[schema(format = Password)]
    password: String,
    /// Scopes, separated by spaces; nothing: all that are allowed.
    scope: Option<String>,
}

/// Exchanging a refresh token for the next pair.
#[derive(ToSchema)]
pub(crate) struct Refresh {
    /// Absent: the `Authorization` header carries it.
    refresh_token: Option<String>,
}

/// The same, as OAuth clients send it.
#[derive(ToSchema)]
pub(crate) struct RefreshForm {
    /// `refresh_token`.
    grant_type: String,
    refresh_token: String,
}

/// Logging out.
#[derive(ToSchema)]
pub(crate) struct Logout {
    /// A refresh token whose session is to end as well.
    refresh_token: Option<String>,
}

/// Changing one's own password.
#[derive(ToSchema)]
pub(crate) struct PasswordChange {
    #[schema(format = Password)]
    current_password: String,
    #[schema(format = Password)]
    new_password: String,
}

/// Asking for a mail with which to set a new password.
#[derive(ToSchema)]
pub(crate) struct PasswordReset {
    #[schema(format = Email)]
    email: String,
}

/// Setting a new password by a mailed token.
#[derive(ToSchema)]
pub(crate) struct PasswordResetConfirmation {
    /// As it came in the mail.
    token: String,
    #[schema(format = Password)]
    new_password: String,
}

/// Verifying an address by a mailed token.
#[derive(ToSchema)]
pub(crate) struct EmailVerification {
    /// As it came in the mail.
    token: String,
}

/// Registering.
#[derive(ToSchema)]
pub(crate) struct Registration {
    /// 1 to 50 characters.
    username: String,
    #[schema(format = Email)]
    email: String,
    #[schema(format = Password)]
    password: String,
    full_name: Option<String>,
}

/// Exchanging the code that a front end was given.
#[derive(ToSchema)]
pub(crate) struct CodeExchange {
    /// As it came in the front end's URL.
    code: String,
}

/// A person who is added.
#[derive(ToSchema)]
pub(crate) struct NewUser {
    /// 1 to 50 characters.
    username: String,
    #[schema(format = Password)]
    password: String,
    #[schema(format = Email)]
    email: Option<String>,
    full_name: Option<String>,
    /// A configured tier; nothing: `limits.default_tier`.
    tier: Option<String>,
    /// A configured role; nothing: `user`.
    role: Option<String>,
    /// Scopes beyond those of the role.
    scopes: Option<Vec<String>>,
}

/// What changes of a person; what is absent stays.
#[derive(ToSchema)]
pub(crate) struct UserChange {
    /// `null` takes it away.
    #[schema(format = Email)]
    email: Option<String>,
    /// `null` takes it away.
    full_name: Option<String>,
    tier: Option<String>,
    role: Option<String>,
    scopes: Option<Vec<String>>,
    is_active: Option<bool>,
    is_verified: Option<bool>,
}

/// A refresh, as RFC 6749 §6 has it.
#[derive(ToSchema)]
pub(crate) struct OAuthTokenRequest {
    /// `refresh_token`.
    grant_type: String,
    refresh_token: String,
    /// Fewer scopes than the session has, separated by spaces.
    scope: Option<String>,
}

/// A token that is asked about, or ended (RFC 7009 §2.1, RFC 7662 §2.1).
#[derive(ToSchema)]
pub(crate) struct OAuthToken {
    token: String,
    /// Taken, and not needed.
    token_type_hint: Option<String>,
}

/// How a stage stands.
#[derive(ToSchema)]
pub(crate) struct StageReport {
    /// `pending`, `processing`, `completed`, `failed`, or one that is configured.
    status: String,
    /// Which attempt it is; nothing: the present one.
    #[schema(minimum = 0, maximum = 4294967295_u64)]
    attempt: Option<u64>,
    /// How far it is.
    #[schema(minimum = 0, maximum = 1000000000000_u64)]
    completed: Option<u64>,
    /// How far it has to go.
    #[schema(minimum = 0, maximum = 1000000000000_u64)]
    total: Option<u64>,
    /// What is going on, for people: at most 4,096 bytes.
    message: Option<String>,
    /// What went wrong: at most 4,096 bytes.
    error_message: Option<String>,
    /// The id of the user to whom the resource belongs; once named, nobody else can be.
    owner: Option<String>,
}
