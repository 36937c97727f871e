//! `doorward healthcheck`: asks the ops listener, for containers that have nothing else to ask with.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;

use crate::arguments::Healthcheck;
use crate::arguments::Place;
use crate::data_dir;
use crate::settings;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Exit 0 where the Doorward of this data directory is ready, or the one whose probes are where it is said.
///
/// # Errors
/// Where it is not, or does not run.
pub(crate) fn healthcheck(place: &Place, asked: &Healthcheck) -> anyhow::Result<ExitCode> {
    let ops = match asked.at {
        Some(address) => address,
        None => {
            let config = settings::load(place)?;
            data_dir::ops(&config.data_dir).unwrap_or(config.listen.ops)
        }
    };
    let answer = ask(ops).with_context(|| format!("no answer from {ops}"))?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("not ready: {}", answer.lines().next().unwrap_or_default())
}

fn ask(ops: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&ops, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let host = ops.to_string();
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
