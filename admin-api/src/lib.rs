//! The control plane: signs people in and manages users.
//!
//! `providers` asks others who somebody is, `store` keeps (SQL), `people` decides (sign-in, refresh,
//! logout, users), `http` speaks. Nothing here knows the gateway: what both must agree on is in
//! `kernel`.
//!
//! Modules in reading order; each uses only those above it.

mod clock;

mod crew;

mod prefix;

mod passwords;

mod mail;

mod providers;

mod sealing;

mod store;

mod schema;

mod transfer;

mod people;

mod status;

mod http;

mod api;

pub use api::AdminApi;
pub use api::Neighbours;
pub use clock::Clock;
pub use http::fleet_door::FleetDoor;
pub use http::fleet_door::ProofError;
pub use mail::MailError;
pub use passwords::HashError;
pub use passwords::PASSWORD_BYTES_MAX;
pub use passwords::PASSWORD_CHARS_MIN;
pub use passwords::policy::Weakness;
pub use people::audit::Actor;
pub use people::audit::Origin;
pub use people::import::Changed;
pub use people::import::Import;
pub use people::import::ImportReport;
pub use people::import::ImportSource;
pub use people::import::Mode;
pub use people::import::Removed;
pub use people::import::fault::ImportError;
pub use people::inspect::Inspection;
pub use people::mint::Mint;
pub use people::mint::MintError;
pub use people::person::EMAIL_CHARS_MAX;
pub use people::person::FULL_NAME_CHARS_MAX;
pub use people::person::NewUser;
pub use people::person::USERNAME_CHARS_MAX;
pub use people::person::UserChange;
pub use people::person::UserError;
pub use people::person::Who;
pub use people::roles::ADMIN;
pub use people::roles::USER;
pub use people::signing_keys::JWKS_MAX_AGE;
pub use people::signing_keys::LOCAL_KID;
pub use people::signing_keys::SEEN_EVERYWHERE;
pub use people::signing_keys::SigningKeys;
pub use people::signing_keys::fault::SigningKeyError;
pub use people::signing_keys::states::KeyState;
pub use people::signing_keys::states::ListedKey;
pub use people::signing_keys::states::Rotation;
pub use people::take_back::TakenBack;
pub use people::user_agent::UserAgent;
pub use people::users::LIST_MAX;
pub use people::users::Users;
pub use schema::Schema;
pub use sealing::SealError;
pub use store::audit::Act;
pub use store::audit::ActFilter;
pub use store::copy::CopiedTable;
pub use store::copy::Tally;
pub use store::fault::DbError;
pub use store::fault::PostgresFault;
pub use store::migrate::MigrationError;
pub use store::migrate::MigrationStatus;
pub use store::open::OpenError;
pub use store::users::User;
pub use store::users::UserFilter;
pub use transfer::CopyError;
pub use transfer::copy_database;
