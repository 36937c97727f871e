//! `doorward token`.

use std::process::ExitCode;

use admin_api::Mint;

use super::Office;
use crate::arguments::Place;
use crate::arguments::Token;

/// Does what was asked about tokens.
///
/// # Errors
/// One clear text.
pub(crate) fn token(place: &Place, token: Token) -> anyhow::Result<ExitCode> {
    let Token::Mint(asked) = token;
    let office = Office::open(place)?;
    let mint =
        Mint { username: asked.user, tier: asked.tier, scopes: asked.scopes, ttl: asked.ttl };
    let token = office.runtime.block_on(office.api.mint_access(mint))?;
    println!("{}", token.expose());
    Ok(ExitCode::SUCCESS)
}
