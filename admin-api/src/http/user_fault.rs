//! What is wrong with somebody as they are said to be: the field, or else the refusal.

use kernel::problem::FieldFault;

use super::fields::of_field;
use super::refusal::Refusal;
use crate::people::desk::OutOfOrder;
use crate::people::person::UserError;

/// The field that is at fault; `None` where it is no field.
pub(crate) fn fault_of(error: &UserError) -> Option<FieldFault> {
    let (field, kind) = match error {
        UserError::Username(_) => ("username", "value_error"),
        UserError::Email(_) => ("email", "value_error"),
        UserError::FullName => ("full_name", "value_error"),
        UserError::Password(_) => ("password", "weak_password"),
        UserError::Tier { .. } => ("tier", "value_error"),
        UserError::Role { .. } => ("role", "value_error"),
        UserError::Scope(_) | UserError::Scopes => ("scopes", "value_error"),
        UserError::Unknown(_)
        | UserError::Taken(_)
        | UserError::Stale
        | UserError::LastAdministrator(_)
        | UserError::Hash(_)
        | UserError::Database(_) => return None,
    };
    Some(of_field(field, &error.to_string(), kind))
}

impl From<UserError> for Refusal {
    fn from(error: UserError) -> Self {
        let field = fault_of(&error);
        match error {
            UserError::Unknown(_) => Self::UserGone,
            UserError::Taken(_) | UserError::LastAdministrator(_) => {
                Self::Conflict(error.to_string())
            }
            UserError::Stale => Self::Stale,
            UserError::Hash(error) => OutOfOrder::from(error).into(),
            UserError::Database(error) => error.into(),
            UserError::Username(_)
            | UserError::Email(_)
            | UserError::FullName
            | UserError::Password(_)
            | UserError::Tier { .. }
            | UserError::Role { .. }
            | UserError::Scope(_)
            | UserError::Scopes => Self::Fields(field.into_iter().collect()),
        }
    }
}
