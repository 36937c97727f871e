//! `doorward user`.

use std::io;
use std::io::BufRead;
use std::io::IsTerminal;
use std::process::ExitCode;

use admin_api::LIST_MAX;
use admin_api::NewUser;
use admin_api::UserChange;
use admin_api::UserError;
use admin_api::UserFilter;
use admin_api::Users;
use admin_api::Who;
use anyhow::Context;
use kernel::secret::Secret;
use kernel::secret::environment;
use serde_json::json;

use super::Office;
use super::import::import;
use crate::arguments::Act;
use crate::arguments::Create;
use crate::arguments::Format;
use crate::arguments::Place;
use crate::arguments::User;
use crate::moment::written;

/// Does what was asked about people.
///
/// # Errors
/// One clear text.
pub(crate) fn user(place: &Place, user: User) -> anyhow::Result<ExitCode> {
    match user {
        User::Create(asked) => create(place, asked)?,
        User::Import(asked) => return import(&Office::open(place)?, asked),
        User::List { format } => list(&Office::open(place)?, format)?,
        User::Show { name, format } => {
            let office = Office::open(place)?;
            let user = office.runtime.block_on(office.api.users().find(Who::Name(name)))?;
            show(&user, format)?;
        }
        User::SetPassword { name } => {
            let password = password()?;
            let office = Office::open(place)?;
            let set = office.api.users().set_password(Who::Name(name), password);
            let user = office.runtime.block_on(set)?;
            println!("{} has another password, and no session any more", user.username);
        }
        User::Act(act) => {
            let office = Office::open(place)?;
            println!("{}", office.runtime.block_on(done(office.api.users(), act))?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Does something to one person; gives what came of it.
async fn done(users: &Users, act: Act) -> Result<String, UserError> {
    let unchanged = UserChange::default();
    Ok(match act {
        Act::SetTier { name, tier } => {
            let user = users.set_tier(&name, tier).await?;
            format!("{} is of tier {}", user.username, user.tier)
        }
        Act::SetRole { name, role } => {
            let change = UserChange { role: Some(role), ..unchanged };
            let user = users.change(Who::Name(name), change, None).await?;
            format!("{} has the role {}", user.username, user.role)
        }
        Act::SetScopes { name, scopes } => {
            let change = UserChange { scopes: Some(scopes), ..unchanged };
            let user = users.change(Who::Name(name), change, None).await?;
            let own =
                if user.scopes.is_empty() { "none".to_owned() } else { user.scopes.join(" ") };
            format!("{} has these scopes beyond those of the role: {own}", user.username)
        }
        Act::EndSessions { name } => {
            let user = users.end_sessions(Who::Name(name)).await?;
            format!("{} has no session any more", user.username)
        }
        Act::Delete { name, yes: _ } => {
            let user = users.delete(Who::Name(name), None).await?;
            format!("{} is deleted; the id was {}", user.username, user.id)
        }
        Act::Disable { name } => format!("{} is disabled", users.disable(&name).await?.username),
        Act::Enable { name } => format!("{} is enabled", users.enable(&name).await?.username),
        Act::Unlock { name } => {
            format!("{} may try again", users.unlock(Who::Name(name)).await?.username)
        }
    })
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

fn show(user: &admin_api::User, format: Format) -> anyhow::Result<()> {
    let object = as_json(user);
    match (&object, format) {
        (serde_json::Value::Object(fields), Format::Text) => {
            for (name, value) in fields {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                println!("{name:<12} {text}");
            }
        }
        _ => println!("{}", serde_json::to_string_pretty(&object)?),
    }
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
        "is_verified": user.is_verified,
        "last_login": user.last_login.map(written),
        "created_at": written(user.created_at),
    })
}
