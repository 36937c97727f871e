//! Makes people for a measurement, as lines that `doorward user import --json` takes.

use anyhow::Context;
use benches::people;
use clap::Parser;
use serde_json::json;

/// Prints people, one JSON object a line, who all have the same password.
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
    // One for all: their passwords are one, and a hash for each takes time.
    let hash = people::hash(&kernel::random::bytes::<16>()?).context("argon2")?.to_string();
    for number in 1..=options.count {
        let name = people::name(number);
        println!(
            "{}",
            json!({
                "id": number,
                "username": name,
                "email": format!("{name}@example.com"),
                "hashed_password": hash,
                "tier": options.tier,
            })
        );
    }
    Ok(())
}
