//! Registration, where anybody may.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Request;
use axum::extract::State;
use http::StatusCode;
use kernel::problem::FieldFault;
use kernel::secret::Secret;
use kernel::tier::Tier;

use super::asked;
use super::fields::Fields;
use super::fields::Takes;
use super::fields::all;
use super::fields::of_field;
use super::me::Me;
use super::refusal::Refusal;
use crate::people::desk::Desk;
use crate::people::desk::OutOfOrder;
use crate::people::person::NewUser;
use crate::people::person::UserError;
use crate::people::person::check_full_name;
use crate::people::person::check_names;
use crate::people::throttle::Throttled;
use crate::people::users::Users;

const FIELDS: [&str; 4] = ["username", "email", "password", "full_name"];

/// Who may register, and as what.
pub(crate) struct Registration {
    pub(crate) users: Users,
    /// The tier of whoever registers.
    pub(crate) tier: Tier,
    /// Whether anybody may.
    pub(crate) is_open: bool,
}

/// `POST /auth/register`
pub(crate) async fn register(
    State(desk): State<Arc<Desk>>,
    Extension(registration): Extension<Arc<Registration>>,
    request: Request,
) -> Result<(StatusCode, Json<Me>), Refusal> {
    if !registration.is_open {
        return Err(Refusal::RegistrationClosed);
    }
    let from = asked::from(request.extensions());
    let fields = Fields::read(request, Takes::Json).await?;
    let new = newcomer(&fields, &registration.tier, &desk)?;
    // Not forgiven: what is counted are the people that one address makes up.
    let counted = desk.throttle.stranger(from, desk.clock.now()).await;
    let _counted = counted.map_err(|throttled| match throttled {
        Throttled::For(wait) => Refusal::Throttled { policy: "register", wait },
        Throttled::Uncounted(error) => OutOfOrder::from(error).into(),
    })?;
    let user = registration.users.admit(new, Some(from)).await.map_err(refused)?;
    tracing::info!(user.id = %user.id, "{} registered", user.username);
    let scopes = desk.roles.grant(&user.clone().into(), None);
    Ok((StatusCode::CREATED, Json(Me::of(user, scopes))))
}

/// All faults at once.
fn newcomer(fields: &Fields, tier: &Tier, desk: &Desk) -> Result<NewUser, Refusal> {
    let username = fields.required("username");
    let email = fields.required("email");
    let password = fields.required("password");
    let full_name = fields.optional("full_name");
    let unknown = fields.unknown(&FIELDS);
    let mut faults = unknown;
    let (Ok(username), Ok(email), Ok(password), Ok(full_name)) =
        (&username, &email, &password, &full_name)
    else {
        let missing = [username.err(), email.err(), password.err(), full_name.err()];
        return Err(all(missing, faults));
    };
    let password = Secret::new(*password);
    faults.extend(check_names(username, Some(email)).into_iter().map(fault));
    faults.extend(full_name.and_then(|name| check_full_name(name).err()).map(fault));
    let weak = desk.passwords.policy().accept(&password, username, Some(email)).err();
    faults.extend(weak.map(|weakness| fault(weakness.into())));
    if !faults.is_empty() {
        return Err(Refusal::Fields(faults));
    }
    Ok(NewUser {
        email: Some((*email).to_owned()),
        full_name: full_name.map(str::to_owned),
        ..NewUser::new(*username, password, tier.clone())
    })
}

fn fault(error: UserError) -> FieldFault {
    let (name, kind) = match &error {
        UserError::Email(_) => ("email", "value_error"),
        UserError::FullName => ("full_name", "value_error"),
        UserError::Password(_) => ("password", "weak_password"),
        _ => ("username", "value_error"),
    };
    of_field(name, &error.to_string(), kind)
}

fn refused(error: UserError) -> Refusal {
    match error {
        // Which of the two is taken, by whom, and as what, is not said.
        UserError::Taken(_) => Refusal::Taken,
        UserError::Hash(error) => OutOfOrder::from(error).into(),
        UserError::Database(error) => error.into(),
        error => Refusal::Fields(vec![fault(error)]),
    }
}
