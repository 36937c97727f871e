//! `doorward token`.

use std::io;
use std::io::BufRead;
use std::process::ExitCode;

use admin_api::Mint;
use admin_api::TakenBack;
use anyhow::Context;
use kernel::secret::Secret;
use serde_json::json;

use super::Office;
use super::house::redis::TELL_WITHIN;
use crate::arguments::Place;
use crate::arguments::Token;

/// Does what was asked about tokens.
///
/// # Errors
/// One clear text.
pub(crate) fn token(place: &Place, token: Token) -> anyhow::Result<ExitCode> {
    match token {
        Token::Mint(asked) => {
            let office = Office::open(place)?;
            let mint = Mint {
                username: asked.user,
                tier: asked.tier,
                scopes: asked.scopes,
                ttl: asked.ttl,
            };
            let token = office.runtime.block_on(office.api.mint_access(mint))?;
            println!("{}", token.expose());
            Ok(ExitCode::SUCCESS)
        }
        Token::Inspect { token } => inspect(place, &shown(token)?),
        Token::Revoke { token } => revoke(place, &shown(token)?),
    }
}

/// The token of the command line; else one line of standard input, where no list of processes
/// shows it.
fn shown(token: Option<String>) -> anyhow::Result<Secret> {
    if let Some(token) = token {
        return Ok(Secret::new(token));
    }
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("no token could be read from standard input")?;
    Ok(Secret::new(line.trim()))
}

/// Exit 0 for a token that is in force, else 1.
fn inspect(place: &Place, token: &Secret) -> anyhow::Result<ExitCode> {
    let office = Office::open_beside(place)?;
    let found = office.runtime.block_on(office.api.inspect_token(token))?;
    let shown = json!({
        "kind": found.kind,
        "in_force": found.is_in_force,
        "standing": found.standing,
        "header": found.header,
        "claims": found.claims,
    });
    println!("{}", serde_json::to_string_pretty(&shown)?);
    Ok(if found.is_in_force { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Exit 0 for a token that nobody takes from now on.
fn revoke(place: &Place, token: &Secret) -> anyhow::Result<ExitCode> {
    let office = Office::open_beside(place)?;
    match office.runtime.block_on(office.api.revoke_token(token))? {
        TakenBack::Token => println!("the token is revoked"),
        TakenBack::Session => println!("the session of the refresh token is over"),
        TakenBack::Foreign(issuer) => println!(
            "the token is revoked; it says that it is one of `{issuer}`, and nobody here vouches for that"
        ),
        TakenBack::Before => println!("the token was revoked before; nothing was changed"),
        TakenBack::Expired => println!("the token has expired; nothing was changed"),
        TakenBack::NotOurs(why) => {
            eprintln!(
                "doorward: it is no token of ours, nor of any of `[[issuers]]`: {why}; nothing was \
                 changed"
            );
            return Ok(ExitCode::FAILURE);
        }
    }
    if !office.runtime.block_on(office.api.has_told_old_service(TELL_WITHIN)) {
        eprintln!(
            "doorward: the old service could not be told, and goes on taking the token; repeat this \
             once Redis is there"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
