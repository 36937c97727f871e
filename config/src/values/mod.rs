//! The kinds of value a key may have, each read from its text at the door.

mod access;
mod amounts;
mod mail;
mod names;
mod net;
mod path;
mod quotas;
mod secrets;
mod urls;
mod words;

use std::fmt::Display;

pub(crate) use amounts::DAY;
pub(crate) use amounts::HOUR;
pub(crate) use amounts::MINUTE;
pub(crate) use amounts::Period;
pub(crate) use amounts::SECOND;
pub(crate) use amounts::Whole;
pub(crate) use mail::Mailbox;
pub(crate) use mail::SmtpUrl;
pub(crate) use names::Kid;
pub(crate) use names::Method;
pub(crate) use names::Name;
pub(crate) use names::Prefix;
pub(crate) use names::QueueName;
pub(crate) use names::QuotaName;
pub(crate) use names::Scope;
pub(crate) use names::TaskName;
pub(crate) use names::Text;
pub(crate) use net::Host;
pub(crate) use path::Target;
pub(crate) use path::overlapping_mount;
pub(crate) use quotas::Limit;
pub(crate) use quotas::Windows;
pub(crate) use secrets::SecretRef;
pub(crate) use secrets::sealing_problem;
pub(crate) use secrets::secret_problem;
pub(crate) use secrets::token_problem;
pub(crate) use secrets::written_problem;
pub(crate) use urls::Origin;
pub(crate) use urls::WebUrl;

use crate::read::Node;
use crate::report::Report;

/// Reads a string and parses it.
fn parsed<T, E: Display>(
    node: &Node<'_>,
    report: &mut Report<'_>,
    wanted: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text = node.text(wanted, report)?;
    parse(text).map_err(|error| report.fault(&node.at, error)).ok()
}
