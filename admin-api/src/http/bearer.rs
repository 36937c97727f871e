//! The token in the `Authorization` header, taken charge of.

use http::HeaderMap;
use kernel::bearer;
use kernel::secret::Secret;

use super::refusal::Refusal;

/// The bearer token; `None` where no `Authorization` header came at all.
///
/// # Errors
/// [`Refusal::NotAuthenticated`] for a credential that is no bearer token.
pub(crate) fn optional(headers: &HeaderMap) -> Result<Option<Secret>, Refusal> {
    let token = bearer::token(headers).map_err(|_| Refusal::NotAuthenticated)?;
    Ok(token.map(Secret::new))
}

/// The bearer token.
///
/// # Errors
/// As [`optional`], and where no header came.
pub(crate) fn required(headers: &HeaderMap) -> Result<Secret, Refusal> {
    optional(headers)?.ok_or(Refusal::NotAuthenticated)
}
