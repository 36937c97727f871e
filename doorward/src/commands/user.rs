//! `doorward user`.

use std::io;
use std::io::BufRead;
use std::io::IsTerminal;
use std::process::ExitCode;

use admin_api::LIST_MAX;
use admin_api::NewUser;
use admin_api::UserFilter;
use admin_api::Who;
use anyhow::Context;
use kernel::secret::Secret;
use kernel::secret::environment;
use serde_json::json;

use super::Office;
use super::import::import;
use crate::arguments::Create;
use crate::arguments::Format;
use crate::arguments::Place;
use crate::arguments::User;

/// Does what was asked about people.
///
/// # Errors
/// One clear text.
pub(crate) fn user(place: &Place, user: User) -> anyhow::Result<ExitCode> {
    match user {
        User::Create(asked) => create(place, asked)?,
        User::Import(asked) => return import(&Office::open(place)?, asked),
        User::List { format } => list(&Office::open(place)?, format)?,
        User::SetTier { name, tier } => {
            let office = Office::open(place)?;
            let user = office.runtime.block_on(office.api.users().set_tier(&name, tier))?;
            println!("{} is of tier {}", user.username, user.tier);
        }
        User::Disable { name } => {
            let office = Office::open(place)?;
            let user = office.runtime.block_on(office.api.users().disable(&name))?;
            println!("{} is disabled", user.username);
        }
        User::Enable { name } => {
            let office = Office::open(place)?;
            let user = office.runtime.block_on(office.api.users().enable(&name))?;
            println!("{} is enabled", user.username);
        }
        User::Unlock { name } => {
            let office = Office::open(place)?;
            let user = office.runtime.block_on(office.api.users().unlock(Who::Name(name)))?;
            println!("{} may try again", user.username);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn create(place: &Place, asked: Create) -> anyhow::Result<()> {
    let password = password()?;
    let office = Office::open(place)?;
    let new = NewUser {
        email: asked.email,
        full_name: asked.full_name,
        role: asked.role,
        scopes: asked.scopes,
        ..NewUser::new(asked.name, password, asked.tier)
    };
    let user = office.runtime.block_on(office.api.users().create(new))?;
    println!("{} is created, with the id {}", user.username, user.id);
    Ok(())
}

/// From the environment, from a person who types it unseen, or one line of standard input.
fn password() -> anyhow::Result<Secret> {
    if let Some(password) = environment("DOORWARD_USER_PASSWORD") {
        return Ok(Secret::new(password));
    }
    let typed = if io::stdin().is_terminal() {
        rpassword::prompt_password("Password: ")
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    };
    let typed = typed.context("no password could be read from standard input")?;
    Ok(Secret::new(typed.trim_end_matches(['\r', '\n'])))
}

fn list(office: &Office, format: Format) -> anyhow::Result<()> {
    let mut people = Vec::new();
    loop {
        let after = people.last().map(|user: &admin_api::User| user.username.clone());
        let filter = UserFilter { after: after.unwrap_or_default(), ..UserFilter::default() };
        let page = office.runtime.block_on(office.api.users().list(filter, LIST_MAX))?;
        if page.is_empty() {
            break;
        }
        people.extend(page);
    }
    match format {
        Format::Json => {
            let people: Vec<_> = people.iter().map(as_json).collect();
            println!("{}", serde_json::to_string_pretty(&people)?);
        }
        Format::Text => {
            println!("{:<24} {:<12} {:<12} {:<8} E-MAIL", "NAME", "TIER", "ROLE", "ACTIVE");
            for user in &people {
                println!(
                    "{:<24} {:<12} {:<12} {:<8} {}",
                    user.username,
                    user.tier.as_str(),
                    user.role,
                    if user.is_active { "yes" } else { "no" },
                    user.email.as_deref().unwrap_or("-"),
                );
            }
        }
    }
    Ok(())
}

fn as_json(user: &admin_api::User) -> serde_json::Value {
    json!({
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "full_name": user.full_name,
        "tier": user.tier,
        "role": user.role,
        "scopes": user.scopes,
        "is_active": user.is_active,
    })
}
