//! Signs access tokens for a measurement, one a line. Minting that many through the command line
//! would start a process for each.
//!
//! The secret is `JWT_SECRET_KEY`, as it is Doorward's, so that they are taken for its own.

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use kernel::claims::Claims;
use kernel::claims::TokenType;
use kernel::keys::SigningKey;
use kernel::secret::Secret;
use kernel::time::Timestamp;

/// The id that the configuration gives to the key of `JWT_SECRET_KEY`.
const KID: &str = "env";

/// The `iss` of a Doorward that is not told another.
const ISSUER: &str = "doorward";

/// Long enough for any measurement, shorter than what Doorward takes at most.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// The first user's number: not the administrator's.
const FIRST_USER: u32 = 1001;

/// Prints access tokens of different users, one a line, signed with JWT_SECRET_KEY (HS256).
#[derive(Parser)]
struct Options {
    /// How many.
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// The tier of all of them.
    #[arg(long)]
    tier: String,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let secret = kernel::secret::environment("JWT_SECRET_KEY");
    let secret = Secret::new(secret.context("JWT_SECRET_KEY is not set")?);
    let key = SigningKey::hs256(KID, &secret)?;
    let now = kernel::time::now();
    for user in (FIRST_USER..).take(options.count as usize) {
        println!("{}", key.sign(&claims(user, &options.tier, now))?);
    }
    Ok(())
}

/// Claims as long as those of a real sign-in.
fn claims(user: u32, tier: &str, now: Timestamp) -> Claims {
    let scopes = ["orders:read", "orders:write"];
    Claims {
        sub: user.to_string(),
        user_id: user.to_string(),
        username: format!("caller-{user}"),
        tier: tier.to_owned(),
        scopes: scopes.map(str::to_owned).to_vec(),
        scope: scopes.join(" "),
        token_type: TokenType::Access,
        iss: ISSUER.to_owned(),
        aud: None,
        iat: now.as_secs(),
        exp: now.plus(LIFETIME).as_secs(),
        jti: format!("019ac000-0000-7000-8000-{user:012}"),
        sid: format!("019ac000-0000-7000-9000-{user:012}"),
        ep: 0,
    }
}
