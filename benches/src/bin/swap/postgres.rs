//! On a server of Postgres.

use std::time::Duration;

use anyhow::Context;
use anyhow::ensure;
use benches::lanes::Lane;
use benches::people;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::NoTls;
use tokio_postgres::Statement;

use super::FILL;
use super::KID;
use super::Options;
use super::SWAP;
use super::TTL_MS;
use super::Turn;
use super::new_ids;
use super::now_ms;

/// How long somebody may take to ask.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// One session, with a connection of its own.
pub(crate) struct Speaker {
    client: Client,
    swap: Statement,
    turn: Turn,
}

/// New sessions, and the others that are asked for.
///
/// # Errors
/// Those of Postgres; and where somebody else's statement is another than ours.
pub(crate) async fn lanes(options: &Options) -> anyhow::Result<Vec<Speaker>> {
    let first = connect(&options.database).await?;
    if let Some(name) = &options.as_asked_by {
        check_statement(&first, name).await?;
    }
    fill(&first, &new_ids()?, options.others).await?;
    let ids = new_ids()?;
    fill(&first, &ids, options.connections).await?;
    let mut lanes = Vec::new();
    for number in 1..=options.connections {
        let client = connect(&options.database).await?;
        let id = format!("{ids}{number}");
        let epoch = client.query_one("SELECT epoch FROM sessions WHERE id = $1", &[&id]).await?;
        let turn = Turn { id, generation: 0, epoch: epoch.get(0) };
        let swap = client.prepare(&numbered(SWAP)).await?;
        lanes.push(Speaker { client, swap, turn });
    }
    Ok(lanes)
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The comparison holds only if both ask the same. Waits until `name` asks.
async fn check_statement(client: &Client, name: &str) -> anyhow::Result<()> {
    let asked = timeout(ASKED_WITHIN, asked_by(client, name)).await;
    let asked = asked.context("nobody asked for a session to move on")??;
    let (asked, ours) = (in_one_line(&asked), in_one_line(&numbered(SWAP)));
    // The server keeps only so many bytes of a statement.
    ensure!(
        ours.starts_with(&asked) && asked.len() > ours.len() / 2,
        "the statement is not the one that `{name}` makes; bring src/bin/swap up to date:\n\
         {ours}\n{asked}"
    );
    Ok(())
}

/// What `name` says on a connection is there to be seen until it says something else.
async fn asked_by(client: &Client, name: &str) -> anyhow::Result<String> {
    let asked = "SELECT query FROM pg_stat_activity
                 WHERE application_name = $1 AND query LIKE 'UPDATE sessions%' LIMIT 1";
    loop {
        if let Some(row) = client.query_opt(asked, &[&name]).await? {
            return Ok(row.get(0));
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn in_one_line(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As Postgres writes parameters.
fn numbered(statement: &str) -> String {
    statement.replace('?', "$")
}

async fn fill(client: &Client, ids: &str, count: u32) -> anyhow::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let (now, number, owner) = (now_ms(), i64::from(count), people::name(1));
    // Told nothing else, Postgres takes them for what they are compared with and added to.
    let statement = numbered(FILL).replace("$2", "$2::bigint").replace("$1", "$1::text");
    let made = client.execute(&statement, &[&ids, &number, &owner, &now, &(now + TTL_MS)]).await?;
    ensure!(made == u64::from(count), "nobody is there to have sessions");
    Ok(())
}

impl Lane for Speaker {
    async fn once(&mut self) -> anyhow::Result<()> {
        let (now, turn) = (now_ms(), &mut self.turn);
        let until = now + TTL_MS;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&turn.id, &turn.generation, &now, &until, &turn.epoch, &KID, &until];
        let moved = self.client.query(&self.swap, &params).await?;
        ensure!(moved.len() == 1, "the session did not move on");
        turn.generation = moved[0].get("generation");
        Ok(())
    }
}
