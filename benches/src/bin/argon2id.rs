//! What the password alone costs at a sign-in: checks of one hash, and nothing else.

use anyhow::Context;
use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use benches::people;
use clap::Parser;

/// As in Doorward, so that the memory of a check comes from the same place.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Checks a password against its hash, again and again.
#[derive(Parser)]
struct Options {
    /// How often.
    #[arg(long, default_value_t = 1)]
    checks: u32,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let hash = people::hash(&kernel::random::bytes::<16>()?).context("argon2")?;
    for _ in 0..options.checks {
        let argon2 = Argon2::default();
        argon2.verify_password(people::PASSWORD.as_bytes(), &hash).context("the check")?;
    }
    Ok(())
}
