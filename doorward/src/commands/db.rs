//! `doorward db`.

use std::process::ExitCode;

use admin_api::CopiedTable;
use admin_api::CopyError;
use admin_api::MigrationStatus;
use admin_api::Schema;
use admin_api::copy_database;
use anyhow::bail;
use kernel::time::now;
use serde_json::json;

use super::databases::source;
use super::databases::target;
use super::runtime;
use crate::arguments::Db;
use crate::arguments::DbCopy;
use crate::arguments::Format;
use crate::arguments::Place;
use crate::data_dir::DataDir;
use crate::moment::written;
use crate::settings;

/// Does what was asked about the database.
///
/// # Errors
/// One clear text.
pub(crate) fn db(place: &Place, db: Db) -> anyhow::Result<ExitCode> {
    match db {
        Db::Migrate => {
            let config = settings::load(place)?;
            DataDir::open(&config.data_dir)?;
            migrate(&config.database)?;
            println!("{}", newest(&Schema::status(&config.database)?));
            Ok(ExitCode::SUCCESS)
        }
        Db::Status { format } => {
            let steps = Schema::status(&settings::load(place)?.database)?;
            match format {
                Format::Json => println!("{}", status_as_json(&steps)?),
                Format::Text => print!("{}", status_as_text(&steps)),
            }
            Ok(ExitCode::SUCCESS)
        }
        Db::Copy(asked) => copy(place, &asked),
    }
}

fn migrate(database: &config::Database) -> anyhow::Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async { Schema::open(database)?.migrate(now()).await })?;
    Ok(())
}

fn newest(steps: &[MigrationStatus]) -> String {
    let newest = steps.iter().rfind(|step| step.applied_at.is_some());
    newest.map_or_else(String::new, |step| format!("the database is at migration {}", step.version))
}

fn status_as_json(steps: &[MigrationStatus]) -> anyhow::Result<String> {
    let step = |step: &MigrationStatus| {
        let applied_at = step.applied_at.map(written);
        json!({ "version": step.version, "name": step.name, "applied_at": applied_at })
    };
    Ok(serde_json::to_string_pretty(&steps.iter().map(step).collect::<Vec<_>>())?)
}

fn status_as_text(steps: &[MigrationStatus]) -> String {
    let line = |step: &MigrationStatus| {
        let applied = step.applied_at.map_or_else(|| "not yet".to_owned(), written);
        format!("{:<32} {applied}\n", step.name)
    };
    steps.iter().map(line).collect()
}

fn copy(place: &Place, asked: &DbCopy) -> anyhow::Result<ExitCode> {
    let from = source(&asked.source)?;
    let to = match target(&asked.target)? {
        Some(to) => to,
        None => {
            let config = settings::load(place)?;
            DataDir::open(&config.data_dir)?;
            config.database
        }
    };
    if from == to {
        bail!("a database cannot be copied into itself: name another one with `--to`");
    }
    // Before the target is touched.
    Schema::status(&from)?;
    migrate(&to)?;
    match copy_database(&from, &to) {
        Ok(tables) => tell(&tables, asked.format)?,
        Err(CopyError::Differs(tables)) => {
            tell(&tables, asked.format)?;
            return Err(CopyError::Differs(tables).into());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(tables: &[CopiedTable], format: Format) -> anyhow::Result<()> {
    let is_same = |table: &CopiedTable| table.read == table.written;
    match format {
        Format::Json => {
            let table = |table: &CopiedTable| {
                json!({
                    "table": table.name,
                    "same": is_same(table),
                    "rows": table.written.rows,
                    "sha256": table.written.sha256,
                    "rows_read": table.read.rows,
                    "sha256_read": table.read.sha256,
                })
            };
            let tables: Vec<_> = tables.iter().map(table).collect();
            println!("{}", serde_json::to_string_pretty(&tables)?);
        }
        Format::Text => {
            println!("{:<20} {:>10} SHA-256", "TABLE", "ROWS");
            for table in tables {
                let mark = if is_same(table) { "" } else { "  differs from what was read" };
                println!(
                    "{:<20} {:>10} {}{mark}",
                    table.name, table.written.rows, table.written.sha256
                );
            }
        }
    }
    Ok(())
}
