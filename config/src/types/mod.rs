//! What the rest of Doorward is given: values that cannot be wrong any more.

mod auth;
mod fleet;
mod limits;
mod mail;
mod routes;
mod server;

pub use auth::Auth;
pub use auth::Hashing;
pub use auth::Issuer;
pub use auth::Key;
pub use auth::OAuth;
pub use auth::Provider;
pub use auth::Throttle;
pub use fleet::AdminHalf;
pub use fleet::Fleet;
pub use fleet::GatewayHalf;
pub use fleet::Proof;
pub use limits::Limits;
pub use limits::Mode;
pub use limits::OnStoreLoss;
pub use mail::Mail;
pub use mail::MailSecurity;
pub use routes::Access;
pub use routes::Authorization;
pub use routes::Endpoint;
pub use routes::OnStaleRevocations;
pub use routes::PathPattern;
pub use routes::Route;
pub use routes::Upstream;
pub use routes::UpstreamWarmUp;
pub use server::Celery;
pub use server::Config;
pub use server::Database;
pub use server::Environment;
pub use server::Listen;
pub use server::Redis;
