//! What it costs to look whether a token was revoked, with nothing revoked and with many sessions; and
//! what those cost in memory. Prints a table of Markdown.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::ensure;
use clap::Parser;
use kernel::claims::Claims;
use kernel::claims::TokenType;
use kernel::keys::Key;
use kernel::keys::KeyRing;
use kernel::keys::SigningKey;
use kernel::random;
use kernel::revocation::Entry;
use kernel::revocation::RevocationSet;
use kernel::revocation::Row;
use kernel::time::Timestamp;
use kernel::token::InForce;
use kernel::token::Profile;
use kernel::token::verify;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LIFETIME: Duration = Duration::from_secs(3600);

/// Rows that are taken in at one time, as from a feed.
const ROWS: usize = 1000;

/// Checks tokens.
#[derive(Parser)]
struct Options {
    /// How many sessions are revoked; other ones than those of the tokens.
    #[arg(long, default_value_t = 1_000_000)]
    revoked: usize,
    /// How many tokens take turns.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    tokens: u32,
    /// How many checks are timed in a round.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    checks: u32,
    /// How often.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let now = kernel::time::now();
    let tokens = tokens(options.tokens, now)?;
    let empty = RevocationSet::default();
    empty.apply_snapshot(0, &[], now);
    let before = resident_bytes()?;
    let full = RevocationSet::default();
    fill(&full, options.revoked, now);
    let bytes = resident_bytes()?.saturating_sub(before);
    ensure!(full.len() == options.revoked, "{} entries", full.len());

    let (mut alone, mut without, mut with) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        alone.push(ns_each(options.checks, &tokens, |token| {
            std::hint::black_box(token.key());
            true
        })?);
        without.push(ns_each(options.checks, &tokens, |token| empty.check(token).is_ok())?);
        with.push(ns_each(options.checks, &tokens, |token| full.check(token).is_ok())?);
    }
    println!("| what | median ({} rounds: min–max) |", options.rounds);
    println!("|---|--:|");
    println!("| handing over a token, and no check: ns | {} |", spread(alone));
    println!("| a check, nothing revoked: ns | {} |", spread(without));
    println!("| a check, {} sessions revoked: ns | {} |", options.revoked, spread(with));
    println!(
        "| memory for them: MB resident, bytes an entry | {:.1}, {:.1} |",
        bytes as f64 / 1e6,
        bytes as f64 / options.revoked.max(1) as f64,
    );
    Ok(())
}

fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    format!("{:.0} ({least:.0}–{most:.0})", values[values.len() / 2])
}

fn tokens(count: u32, now: Timestamp) -> anyhow::Result<Vec<InForce>> {
    let key = || -> anyhow::Result<SigningKey> {
        Ok(SigningKey::hs256("measured", &random::unguessable()?)?)
    };
    let key = key()?;
    let profile = Profile {
        issuer: "doorward".into(),
        audience: None,
        leeway: Duration::ZERO,
        lifetime_max: LIFETIME,
        accept_legacy: false,
    };
    let signed: Vec<_> =
        (0..count).map(|user| key.sign(&claims(user, now))).collect::<Result<_, _>>()?;
    let ring = KeyRing::new(vec![Key::Signing(Box::new(key))])?;
    let in_force = |token: String| {
        let token = Arc::new(verify(&token, &ring, &profile, now)?);
        Ok(token.in_force(&profile, now)?)
    };
    signed.into_iter().map(in_force).collect()
}

fn claims(user: u32, now: Timestamp) -> Claims {
    Claims {
        sub: user.to_string(),
        user_id: user.to_string(),
        username: format!("caller-{user}"),
        tier: "free".to_owned(),
        scopes: vec!["orders:read".to_owned()],
        scope: "orders:read".to_owned(),
        token_type: TokenType::Access,
        iss: "doorward".to_owned(),
        aud: None,
        iat: now.as_secs(),
        exp: now.plus(LIFETIME).as_secs(),
        jti: format!("019ac000-0000-7000-8000-{user:012}"),
        sid: format!("019ac000-0000-7000-9000-{user:012}"),
        ep: 0,
    }
}

fn fill(set: &RevocationSet, count: usize, now: Timestamp) {
    let until = now.plus(LIFETIME);
    let numbers: Vec<usize> = (1..=count).collect();
    for part in numbers.chunks(ROWS) {
        let row = |n: &usize| {
            let id = format!("019ac000-0000-7000-a000-{n:012}");
            Row { seq: *n as u64, at: now, entry: Entry::Session { id, until } }
        };
        set.apply(&part.iter().map(row).collect::<Vec<_>>(), now);
    }
    set.apply_snapshot(count as u64, &[], now);
}

fn ns_each(
    checks: u32,
    tokens: &[InForce],
    check: impl Fn(InForce) -> bool,
) -> anyhow::Result<f64> {
    let begin = Instant::now();
    for token in tokens.iter().cycle().take(checks as usize) {
        ensure!(check(token.clone()), "refused");
    }
    Ok(begin.elapsed().as_secs_f64() * 1e9 / f64::from(checks))
}

fn resident_bytes() -> anyhow::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).context("no resident pages")?;
    Ok(pages.parse::<u64>()? * 4096)
}
