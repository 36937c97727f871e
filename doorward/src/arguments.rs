//! What can be asked on the command line.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use kernel::keys::Algorithm;
use kernel::secret::Secret;
use kernel::tier::Tier;

/// A gateway that verifies, limits and forwards, and the API that signs people in.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which Doorward is meant.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The configuration file; without one, everything has its default
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The directory of data, secrets and sockets; above the file's `data_dir`
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start: gateway, admin API and everything else in this one process
    Run(Run),
    /// Start the gateway alone; the admin API runs elsewhere, at `fleet.admin_url`
    Gateway(Gateway),
    /// Start the admin API alone, for gateways that run elsewhere and come to `fleet.listen`
    Admin(Admin),
    /// Start a worker of Celery tasks, for the broker of `[celery]`
    Worker(Worker),
    /// Check a configuration file with the code of the start
    Check(Check),
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Make tokens, look at them, and take them back
    #[command(subcommand)]
    Token(Token),
    /// Manage the keys that sign; a running Doorward sees it within a tenth of a second
    #[command(subcommand)]
    Key(Key),
    /// Manage people; a running Doorward sees it within a tenth of a second
    #[command(subcommand)]
    User(User),
    /// Look after the database
    #[command(subcommand)]
    Db(Db),
    /// Ask the running Doorward whether it is ready; exit 0 if so
    Healthcheck(Healthcheck),
    /// Start a back end to try with: it answers with what it was asked, and by whom
    Echo(Echo),
}

#[derive(Debug, Args)]
pub(crate) struct Front {
    /// An address for clients, in place of the file's; may be repeated. Port 0: any free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<SocketAddr>,
    /// The address for probes and metrics, in place of the file's [default: 127.0.0.1:9180]
    #[arg(long, value_name = "ADDR")]
    pub(crate) ops_listen: Option<SocketAddr>,
    /// How many threads serve clients [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) front: Front,
    /// The back end: `http://host:port`, `https://host:port` or `unix:/path`
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Gateway {
    #[command(flatten)]
    pub(crate) front: Front,
}

#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// The address for gateways, in place of the file's `fleet.listen`. Port 0: any free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) fleet_listen: Option<SocketAddr>,
    /// The address for probes and management, in place of the file's [default: 127.0.0.1:9180]
    #[arg(long, value_name = "ADDR")]
    pub(crate) ops_listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Healthcheck {
    /// Where its probes are, such as those of a worker, which has no data directory to find them by
    #[arg(long, value_name = "ADDR")]
    pub(crate) at: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// The address for probes and metrics, in place of the file's `worker.ops`. Port 0: any free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) ops_listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Echo {
    /// The address to answer at. Port 0: any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The file; without it, the one of --config
    pub(crate) file: Option<PathBuf>,
    /// How faults are told: text on standard error, JSON on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make an access token for a person, and print it alone
    Mint(Mint),
    /// Show what a token says and whether it is taken; exit 0 if so. Without TOKEN: read from standard input
    Inspect {
        /// The token
        token: Option<String>,
    },
    /// Have a token refused from now on. Without TOKEN: read from standard input
    Revoke {
        /// The token: an access token, or a refresh token, whose session is ended
        token: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a pending key: it verifies from now on, and signs when it is rotated in; print its id
    Generate {
        /// ES256 or EdDSA [default: the configuration's `auth.stored_key_alg`, else ES256]
        #[arg(long, value_parser = parse_algorithm)]
        alg: Option<Algorithm>,
    },
    /// Take in a private key of your own as a pending key; print its id
    Import {
        /// RS256, PS256, ES256 or EdDSA
        #[arg(long, value_parser = parse_algorithm)]
        alg: Algorithm,
        /// The private key, in PEM
        file: PathBuf,
    },
    /// Have the oldest pending key, or a new one, sign; the one that did verifies until its last token
    /// has expired
    Rotate {
        /// How long the key is published before it signs; 300s is what others may go by a copy for.
        /// A second at the least
        #[arg(long, default_value = "300s", value_parser = parse_ttl)]
        published_for: Duration,
    },
    /// Distrust a key: every token that it signed is refused; where it signed, another one does at once
    Revoke {
        /// Its id
        kid: String,
    },
    /// List all keys
    List {
        /// How
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Mint {
    /// Whose token it is to be
    #[arg(long, value_name = "NAME")]
    pub(crate) user: String,
    /// The tier it names, instead of the person's own
    #[arg(long, value_parser = parse_tier)]
    pub(crate) tier: Option<Tier>,
    /// The scopes it carries, separated by commas; without: all that the person is allowed
    #[arg(long, value_delimiter = ',')]
    pub(crate) scopes: Option<Vec<String>>,
    /// How long it lives: a whole number and `s`, `m`, `h` or `d`
    #[arg(long, default_value = "30m", value_parser = parse_ttl)]
    pub(crate) ttl: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Add a person; the password comes from DOORWARD_USER_PASSWORD, else from standard input
    Create(Create),
    /// List all people
    List {
        /// How
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show one person
    Show {
        /// Who
        name: String,
        /// How
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Take over the people of a deployment that this one replaces; may be repeated
    Import(Import),
    /// Give a person another password, from DOORWARD_USER_PASSWORD, else from standard input; all
    /// sessions end
    SetPassword {
        /// Who
        name: String,
    },
    #[command(flatten)]
    Act(Act),
}

/// What is done to one person.
#[derive(Debug, Subcommand)]
pub(crate) enum Act {
    /// Give a person another tier, for the tokens they hold as well
    SetTier {
        /// Who
        name: String,
        /// Which tier
        #[arg(value_parser = parse_tier)]
        tier: Tier,
    },
    /// Give a person another role; what it takes away is taken from the tokens they hold as well
    SetRole {
        /// Who
        name: String,
        /// Which role
        role: String,
    },
    /// Give a person these scopes beyond those of the role, and no others
    SetScopes {
        /// Who
        name: String,
        /// Which, separated by commas; without any: none
        #[arg(value_delimiter = ',')]
        scopes: Vec<String>,
    },
    /// End all sessions of a person, and refuse every token they hold; they may sign in anew
    EndSessions {
        /// Who
        name: String,
    },
    /// Delete a person and all that is theirs, for good; no token they hold is taken any more
    Delete {
        /// Who
        name: String,
        /// That it is meant
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Keep a person out: no sign-in, no refresh, and no token they hold is taken any more
    Disable {
        /// Who
        name: String,
    },
    /// Let a person in again
    Enable {
        /// Who
        name: String,
    },
    /// Let a person try again who failed to sign in too often
    Unlock {
        /// Who
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) source: Source,
    /// A file with one JSON object a line, in place of a database; `-` is standard input
    #[arg(long, value_name = "FILE", group = "source", conflicts_with_all = ["from", "from_env"])]
    pub(crate) json: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Change people who are here already and are otherwise there; without it, they are told only
    #[arg(long)]
    pub(crate) update: bool,
    /// Take people and accounts back that were removed here; without it, they are refused
    #[arg(long)]
    pub(crate) removed_too: bool,
    /// The tier of people whose tier is not configured here; without it, they are refused
    #[arg(long, value_name = "TIER", value_parser = parse_tier)]
    pub(crate) default_tier: Option<Tier>,
    /// How the result is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Bring the schema of the configured database up to date, as the start does
    Migrate,
    /// Show which migrations the configured database has; changes nothing
    Status {
        /// How
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Copy everything into a database that has nobody in it, and compare the two
    Copy(DbCopy),
}

#[derive(Debug, Args)]
pub(crate) struct DbCopy {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) target: Target,
    /// How the result is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Where it is read from.
#[derive(Debug, Args)]
#[group(id = "source", required = true, multiple = false)]
pub(crate) struct Source {
    /// The URL of the database to read, such as `sqlite:///var/lib/doorward/doorward.db`
    #[arg(long, value_name = "URL", value_parser = parse_secret)]
    pub(crate) from: Option<Secret>,
    /// The environment variable that has this URL: arguments can be seen by others, a password too
    #[arg(long, value_name = "NAME")]
    pub(crate) from_env: Option<String>,
}

/// The database that is written.
#[derive(Debug, Args)]
#[group(id = "target", multiple = false)]
pub(crate) struct Target {
    /// The URL of the database to write, such as `postgres://doorward@db/doorward` [default: the
    /// configured database]
    #[arg(long, value_name = "URL", value_parser = parse_secret)]
    pub(crate) to: Option<Secret>,
    /// The environment variable that has this URL
    #[arg(long, value_name = "NAME")]
    pub(crate) to_env: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The name to sign in with
    pub(crate) name: String,
    /// The tier
    #[arg(long, default_value = "free", value_parser = parse_tier)]
    pub(crate) tier: Tier,
    /// The role, which grants scopes
    #[arg(long, default_value = admin_api::USER)]
    pub(crate) role: String,
    /// The e-mail address, which signs in as well
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// What to call them
    #[arg(long)]
    pub(crate) full_name: Option<String>,
    /// Scopes beyond those of the role, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub(crate) scopes: Vec<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "as clap wants it")]
fn parse_secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

fn parse_tier(text: &str) -> Result<Tier, String> {
    Tier::parse(text).map_err(|error| error.to_string())
}

fn parse_algorithm(text: &str) -> Result<Algorithm, String> {
    let names = Algorithm::ALL.map(|algorithm| format!("`{algorithm}`")).join(", ");
    Algorithm::parse(text).ok_or_else(|| format!("`{text}` is no algorithm; there are {names}"))
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is no length of time: use a whole number and `s`, `m`, `h` or `d`");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_length_of_time_is_a_whole_number_and_its_unit() {
        for (text, seconds) in
            [("1s", 1), ("90m", 5400), ("12h", 43_200), ("2d", 172_800), ("0s", 0)]
        {
            assert_eq!(parse_ttl(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "1", "1.5h", "-1s", "+1s", "1w", "1 h", "é", "99999999999999999999d"]
        {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
    }
}
