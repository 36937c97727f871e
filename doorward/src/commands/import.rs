//! `doorward user import`.

use std::fs::File;
use std::io;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use admin_api::Changed;
use admin_api::Import;
use admin_api::ImportReport;
use admin_api::ImportSource;
use admin_api::Mode;
use admin_api::Removed;
use anyhow::Context;
use serde_json::json;

use super::Office;
use super::databases;
use crate::arguments;
use crate::arguments::Format;

/// Takes people over; exit 1 where anybody was refused.
///
/// # Errors
/// One clear text.
pub(super) fn import(office: &Office, asked: arguments::Import) -> anyhow::Result<ExitCode> {
    let source = match &asked.json {
        Some(path) => ImportSource::JsonLines(lines(path)?),
        None => ImportSource::OldDeployment(databases::source(&asked.source)?),
    };
    let import = Import {
        mode: if asked.dry_run { Mode::DryRun } else { Mode::Kept },
        changed: if asked.update { Changed::Updated } else { Changed::Told },
        removed: if asked.removed_too { Removed::Return } else { Removed::StayAway },
        unsaid_tier: asked.default_tier.clone().unwrap_or_else(|| office.default_tier.clone()),
        unknown_tier: asked.default_tier,
    };
    let mode = import.mode;
    let report = office.runtime.block_on(office.api.users().import(source, import))?;
    match asked.format {
        Format::Json => println!("{}", as_json(&report, mode)?),
        Format::Text => tell(&report, mode),
    }
    Ok(if report.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lines(path: &Path) -> anyhow::Result<Box<dyn io::BufRead + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path);
    let file = file.with_context(|| format!("`{}` cannot be read", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// The sums on standard output, what they are made of on standard error.
fn tell(report: &ImportReport, mode: Mode) {
    for line in report.differences.iter().chain(&report.faults) {
        eprintln!("{line}");
    }
    let told = [
        (report.updated + report.different, report.differences.len(), "differ"),
        (report.refused, report.faults.len(), "are refused"),
    ];
    for (all, told, what) in told {
        let untold = all.saturating_sub(told as u64);
        if untold > 0 {
            eprintln!("… and {untold} more that {what}");
        }
    }
    let dry = if mode == Mode::DryRun { "nothing was done; it would be: " } else { "" };
    println!(
        "{dry}{} added, {} unchanged, {} updated, {} different, {} refused",
        report.added, report.unchanged, report.updated, report.different, report.refused
    );
    let (added, unchanged) = (report.accounts_added, report.accounts_unchanged);
    if added + unchanged > 0 {
        println!("{dry}{added} accounts at providers added, {unchanged} unchanged");
    }
}

fn as_json(report: &ImportReport, mode: Mode) -> anyhow::Result<String> {
    let report = json!({
        "dry_run": mode == Mode::DryRun,
        "added": report.added,
        "unchanged": report.unchanged,
        "updated": report.updated,
        "different": report.different,
        "refused": report.refused,
        "accounts_added": report.accounts_added,
        "accounts_unchanged": report.accounts_unchanged,
        "differences": report.differences,
        "faults": report.faults,
    });
    Ok(serde_json::to_string_pretty(&report)?)
}
