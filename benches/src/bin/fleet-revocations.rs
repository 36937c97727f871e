//! How long after a logout at one gateway each of three gateways refuses the token: real processes, one
//! admin API on a Postgres that syncs to disk, one Redis, all on this machine.
//!
//! Prints `name=value` lines: from the answer to the logout, and from its request, to the first refusal
//! at the last of the three, which are asked in turn without a pause.

use std::time::Instant;

use anyhow::ensure;
use benches::percentile;
use clap::Parser;
use test_support::doorward::Doorward;
use test_support::doorward::Tokens;
use test_support::http1::Connection;
use test_support::http1::Request;
use test_support::postgres::PostgresServer;
use test_support::redis::RedisServer;
use test_support::upstream::Upstream;

const FLEET_TOKEN: &str = "measuring-fleet-token-0123456789abcdef";
const PASSWORD: &str = "seven-herons-by-the-weir";
const GATEWAYS: usize = 3;

/// Measures revocations from a client to a client.
#[derive(Parser)]
struct Options {
    /// How many sessions are ended, one after the other.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    sessions: u32,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let (redis, database) = (RedisServer::start(), PostgresServer::start_synced());
    let upstream = Upstream::start();
    let common = format!(
        "environment = \"dev\"\n[redis]\nurl = \"{}\"\n\
         [tiers.measured]\nlimits = [{{ name = \"minute\", requests = 4000000000, per = \"1m\" }}]\n\
         [limits]\nauth = [{{ name = \"minute\", requests = 4000000000, per = \"1m\" }}]\n\
         login = [{{ name = \"minute\", requests = 4000000000, per = \"1m\" }}]\n\
         [upstreams.echo]\nendpoints = [\"{}\"]\n\
         [[routes]]\nname = \"api\"\npath = \"/api\"\nupstream = \"echo\"\n\
         [fleet]\ntoken = {{ env = \"FLEET_TOKEN\" }}\n",
        redis.url(),
        upstream.url(),
    );
    let admin =
        format!("{common}listen = \"127.0.0.1:0\"\n[database]\nurl = \"{}\"\n", database.url());
    let admin = Doorward::builder().admin().config(admin).env("FLEET_TOKEN", FLEET_TOKEN).start();
    admin.create_user("ann", "measured", PASSWORD);
    let gateway = format!("{common}admin_url = \"http://{}\"\n", admin.public());
    let gateways: Vec<Doorward> = (0..GATEWAYS)
        .map(|_| {
            let builder = Doorward::builder().gateway().config(gateway.as_str());
            builder.env("FLEET_TOKEN", FLEET_TOKEN).start()
        })
        .collect();
    for gateway in &gateways {
        gateway.wait_for_log("revocations are heard of by Redis");
    }
    let mut lines: Vec<Connection> =
        gateways.iter().map(|gateway| Connection::open(gateway.public())).collect();

    let (mut from_answer, mut from_request) = (Vec::new(), Vec::new());
    for n in 0..options.sessions {
        let ann = gateways[0].login("ann", PASSWORD);
        let call = Request::get("/api/x").bearer(&ann.access);
        for line in &mut lines {
            ensure!(line.ask(&call).status == 200, "a fresh token is good everywhere");
        }
        let at = n as usize % GATEWAYS;
        let asked = Instant::now();
        log_out(&mut lines[at], &ann)?;
        let answered = Instant::now();
        let mut waiting: Vec<usize> = (0..GATEWAYS).collect();
        while !waiting.is_empty() {
            waiting.retain(|at| lines[*at].ask(&call).status != 401);
        }
        from_answer.push(answered.elapsed());
        from_request.push(asked.elapsed());
    }
    for (name, took) in [("answer", &mut from_answer), ("request", &mut from_request)] {
        took.sort_unstable();
        for percent in [50, 90, 99] {
            let ms = percentile(took, percent).as_secs_f64() * 1e3;
            println!("from_{name}_p{percent}_ms={ms:.1}");
        }
    }
    Ok(())
}

fn log_out(line: &mut Connection, ann: &Tokens) -> anyhow::Result<()> {
    let answer = line.ask(&Request::post("/auth/logout").bearer(&ann.access));
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}
