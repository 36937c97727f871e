//! Registration, where anybody may.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::extract::State;
use http::StatusCode;
use kernel::secret::Secret;
use kernel::tier::Tier;

use super::asked;
use super::bodies;
use super::fields::Fields;
use super::fields::Takes;
use super::fields::all;
use super::me::Me;
use super::openapi::ACCOUNT;
use super::refusal::Refusal;
use super::user_fault::fault_of;
use crate::people::desk::Desk;
use crate::people::person::NewUser;
use crate::people::person::UserError;
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

/// Adds whoever registers, where anybody may.
///
/// Where mail is configured, they are sent one by which the address can be verified.
#[utoipa::path(
    post,
    path = "/register",
    operation_id = "register",
    tag = ACCOUNT,
    request_body = bodies::Registration,
    responses(
        (status = 201, body = Me, description = "Registered"),
        (status = 403, description = "Registration is closed"),
        (status = 409, description = "The name or the address is taken"),
        (status = 422, description = "Fields that are missing or wrong, or a weak password"),
        (status = 429, description = "Too many attempts"),
    ),
)]
pub(crate) async fn register(
    State(desk): State<Arc<Desk>>,
    State(registration): State<Arc<Registration>>,
    request: Request,
) -> Result<(StatusCode, Json<Me>), Refusal> {
    if !registration.is_open {
        return Err(Refusal::RegistrationClosed);
    }
    let from = asked::from(request.extensions());
    let fields = Fields::read(request, Takes::Json).await?;
    let new = newcomer(&fields, &registration)?;
    // Not forgiven: what is counted are the people that one address makes up.
    let counted = desk.throttle.stranger(from, desk.clock.now()).await;
    let _counted = counted.map_err(|error| Refusal::throttled("register", error))?;
    let user = registration.users.admit(new, Some(from)).await.map_err(refused)?;
    tracing::info!(user.id = %user.id, "{} registered", user.username);
    desk.mail_first_verification(&user).await;
    let scopes = desk.roles.grant(&user.clone().into(), None);
    Ok((StatusCode::CREATED, Json(Me::of(user, scopes))))
}

/// All faults at once.
fn newcomer(fields: &Fields, registration: &Registration) -> Result<NewUser, Refusal> {
    let username = fields.required("username");
    let email = fields.required("email");
    let password = fields.required("password");
    let full_name = fields.optional("full_name");
    let mut faults = fields.unknown(&FIELDS);
    let (Ok(username), Ok(email), Ok(password), Ok(full_name)) =
        (&username, &email, &password, &full_name)
    else {
        let missing = [username.err(), email.err(), password.err(), full_name.err()];
        return Err(all(missing, faults));
    };
    let new = NewUser {
        email: Some((*email).to_owned()),
        full_name: full_name.map(str::to_owned),
        ..NewUser::new(*username, Secret::new(*password), registration.tier.clone())
    };
    faults.extend(registration.users.faults_of(&new).iter().filter_map(fault_of));
    if faults.is_empty() { Ok(new) } else { Err(Refusal::Fields(faults)) }
}

fn refused(error: UserError) -> Refusal {
    match error {
        // Which of the two is taken, by whom, and as what, is not said.
        UserError::Taken(_) => Refusal::Taken,
        error => error.into(),
    }
}
