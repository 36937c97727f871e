//! `doorward check`: the start, up to the point where something would happen.

use std::process::ExitCode;

use admin_api::FleetDoor;
use admin_api::Schema;
use anyhow::Context;
use config::Config;
use gateway::fleet::line::Line;
use serde_json::json;

use super::house::redis::tls_of;
use crate::arguments::Check;
use crate::arguments::Format;
use crate::arguments::Place;
use crate::keys;
use crate::settings;

/// Checks a file; exit 0 where nothing is wrong with it, else 1.
///
/// # Errors
/// Where no file was named.
pub(crate) fn check(place: &Place, check: &Check) -> anyhow::Result<ExitCode> {
    let file = check.file.as_ref().or(place.config.as_ref());
    let file = file.context("no file: name one, as in `doorward check doorward.toml`")?;
    let place = Place { config: Some(file.clone()), data_dir: place.data_dir.clone() };
    let loaded = settings::load(&place).map_err(|faults| (faults.to_json(), faults.to_string()));
    let outcome = loaded.and_then(|config| {
        usable(&config).map(|()| settings::notes(&config)).map_err(|error| {
            let message = format!("{error:#}");
            let text = format!("{}: {message}", file.display());
            let problem = json!({
                "line": null, "column": null, "path": "", "message": message,
            });
            (json!({ "file": file, "problems": [problem] }), text)
        })
    });
    match (outcome, check.format) {
        (Ok(notes), Format::Text) => {
            println!("{}: no problems", file.display());
            for note in notes {
                println!(" note: {note}");
            }
        }
        (Ok(notes), Format::Json) => {
            println!("{}", json!({ "file": file, "problems": [], "notes": notes }));
        }
        (Err((_, text)), Format::Text) => {
            eprintln!("{text}");
            return Ok(ExitCode::FAILURE);
        }
        (Err((json, _)), Format::Json) => {
            println!("{json}");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether what `config` names can be used, by whichever half it is for.
fn usable(config: &Config) -> anyhow::Result<()> {
    Schema::check_name(&config.database)?;
    let fleet = config.fleet.as_ref();
    let admin = fleet.and_then(|fleet| fleet.admin.as_ref());
    let gateway = fleet.and_then(|fleet| fleet.gateway.as_ref());
    if let Some(redis) = &config.redis {
        tls_of(redis)?;
    }
    if let Some(half) = admin {
        FleetDoor::of(half)?;
    }
    if let Some(half) = gateway {
        Line::new(half)?;
    }
    match (admin, gateway) {
        (None, Some(_)) => keys::ring_at_the_edge(config).map(|_| ()),
        _ => keys::configured(config).map(|_| ()),
    }
}
