//! The servers Doorward depends on: database, Redis, Celery; and the variables that name them.

use std::path::Path;

use kernel::celery::names::DEFAULT_QUEUE;
use kernel::secret::Secret;

use super::Context;
use super::fleet::certificates;
use crate::database::DatabaseUrl;
use crate::database::RedisUrl;
use crate::file::CeleryFile;
use crate::file::DatabaseFile;
use crate::file::RedisFile;
use crate::read::Field;
use crate::report::At;
use crate::server_url;
use crate::server_url::ServerUrl;
use crate::types::Celery;
use crate::types::Database;
use crate::types::Environment;
use crate::types::Redis;
use crate::values::Prefix;
use crate::values::QueueName;
use crate::values::SecretRef;

/// The most queues that are watched.
const CELERY_QUEUES_MAX: usize = 32;

const PASSWORD_IN_FILE: &str = "there is a password in the URL: write it apart, as \
                                `password = { file = \"/path\" }` or `{ env = \"NAME\" }`";

pub(super) fn database(
    field: Field<DatabaseFile>,
    data_dir: Option<&Path>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Database> {
    let mut file = field.value?;
    if context.variable("DATABASE_URL").is_some() {
        file.url.replace_with_variable("DATABASE_URL", "database.url");
    } else if context.variable("POSTGRES_SERVER").is_some() {
        return postgres_of_variables(context);
    }
    let url_at = &file.url.at;
    let Some(text) = url_text(&file.url, context) else {
        if file.url.value.is_some() {
            return None;
        }
        if file.password.value.is_some() {
            context.fault(&file.password.at, "a password without `database.url`");
        }
        return data_dir.map(Database::in_data_dir);
    };
    let url = DatabaseUrl::parse(text.expose());
    let mut url = url.map_err(|error| context.fault(url_at, error)).ok()?;
    match (&mut url, &file.password.value) {
        (DatabaseUrl::Postgres(server), _) => password(server, &file.url, &file.password, context),
        (_, Some(_)) => context.fault(&file.password.at, "SQLite has no password"),
        _ => {}
    }
    Some(url.database())
}

/// Settles the password: the URL's own, or the one that is written apart.
fn password(
    server: &mut ServerUrl,
    url: &Field<SecretRef>,
    password: &Field<SecretRef>,
    context: &mut Context<'_, '_, '_>,
) {
    let literal = matches!(url.value, Some(SecretRef::Literal(_)));
    if server.password.is_some() {
        if literal && context.environment != Environment::Dev {
            context.fault(&url.at, PASSWORD_IN_FILE);
        } else if literal && password.value.is_some() {
            context.fault(&password.at, "the URL has a password too: write one of them");
        }
        // A URL of the environment is above the file, and its password with it.
        return;
    }
    let secret = password.resolve(context.environment, context.variables, context.report);
    server.password = secret.map(|secret| secret.expose().to_owned());
}

/// The text of a URL that may be written in the file, or be referred to like a secret.
fn url_text(field: &Field<SecretRef>, context: &mut Context<'_, '_, '_>) -> Option<Secret> {
    field.resolve_written(context.variables, context.report)
}

/// Joins the discrete `POSTGRES_*` variables.
fn postgres_of_variables(context: &mut Context<'_, '_, '_>) -> Option<Database> {
    let server = context.variable("POSTGRES_SERVER")?;
    let bare_ipv6 = server.parse::<std::net::Ipv6Addr>().is_ok();
    let server = if bare_ipv6 { format!("[{server}]") } else { server };
    let at = At::variable("POSTGRES_SERVER", "database.url");
    let host = server_url::host_and_port(&server);
    let host = host.map_err(|error| context.fault(&at, error)).ok();
    let port = match context.variable("POSTGRES_PORT") {
        Some(text) => {
            let at = At::variable("POSTGRES_PORT", "database.url");
            Some(server_url::port(&text).map_err(|error| context.fault(&at, error)).ok()?)
        }
        None => None,
    };
    let user = context.variable("POSTGRES_USER");
    let name = context.variable("POSTGRES_DB");
    for (variable, value) in [("POSTGRES_USER", &user), ("POSTGRES_DB", &name)] {
        if value.is_none() {
            context.fault(&at, format!("it is set, but `{variable}` is not"));
        }
    }
    let (host, port_of_host) = host?;
    let url = ServerUrl {
        user,
        password: context.variable("POSTGRES_PASSWORD"),
        host,
        port: port.or(port_of_host),
        name: name?,
        parameters: None,
    };
    Some(DatabaseUrl::Postgres(url).database())
}

pub(super) fn redis(
    mut field: Field<RedisFile>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Redis> {
    let host = context.variable("REDIS_HOST");
    if let (Some(file), Some(_)) = (&mut field.value, &host) {
        file.url.replace_with_variable("REDIS_HOST", "redis.url");
    }
    let mut url = match (&field.value, &host) {
        // Without a host, REDIS_PORT and REDIS_CACHE_DB are somebody else's.
        (None, None) => return None,
        (_, Some(host)) => {
            let at = At::variable("REDIS_HOST", "redis.url");
            let host = server_url::host_and_port(host);
            let (host, port) = host.map_err(|error| context.fault(&at, error)).ok()?;
            let password = context.variable("REDIS_PASSWORD");
            let server = ServerUrl { password, host, port, ..ServerUrl::default() };
            RedisUrl { scheme: "redis", server }
        }
        (Some(file), None) => {
            if file.url.value.is_none() {
                context.fault(&file.at, "the key `url` is missing");
            }
            let text = url_text(&file.url, context)?;
            let url = RedisUrl::parse(text.expose());
            url.map_err(|error| context.fault(&file.url.at, error)).ok()?
        }
    };
    if let Some(text) = context.variable("REDIS_PORT") {
        let at = At::variable("REDIS_PORT", "redis.url");
        url.server.port = server_url::port(&text).map_err(|error| context.fault(&at, error)).ok();
    }
    if let Some(text) = context.variable("REDIS_CACHE_DB") {
        url.server.name = text;
        let at = At::variable("REDIS_CACHE_DB", "redis.url");
        url.check_number().map_err(|error| context.fault(&at, error)).ok()?;
    }
    let Some(file) = field.value else { return Some(Redis::at(url.secret())) };
    password(&mut url.server, &file.url, &file.password, context);
    let ca = certificates(&file.ca, context);
    if file.ca.given && !url.uses_tls() {
        context.fault(&file.ca.at, "it is of no use without TLS: the URL begins with `redis://`");
    }
    Some(Redis {
        url: url.secret(),
        ca,
        namespace: file.namespace.value?.0,
        call_timeout: file.call_timeout.value?.0,
        beside_old_service: file.beside_old_service.value?,
    })
}

pub(super) fn celery(
    field: Field<CeleryFile>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Celery> {
    let broker = context.variable("CELERY_BROKER_URL").is_some();
    let backend = context.variable("CELERY_RESULT_BACKEND").is_some();
    if field.value.is_none() && !broker {
        if backend {
            let at = At::variable("CELERY_RESULT_BACKEND", "celery.result_backend");
            context.fault(&at, "it is set, but `CELERY_BROKER_URL` is not");
        }
        return None;
    }
    let absent = Field { value: None, at: field.at.clone(), given: false };
    let field_at = field.at.clone();
    let mut file = field.value.unwrap_or(CeleryFile {
        at: field.at,
        broker_url: absent.clone(),
        result_backend: absent.clone(),
        ca: absent,
        queues: Field { value: None, at: field_at.clone(), given: false },
        global_keyprefix: Field { value: None, at: field_at.clone(), given: false },
        fanout_prefix: Field { value: None, at: field_at, given: false },
    });
    if broker {
        file.broker_url.replace_with_variable("CELERY_BROKER_URL", "celery.broker_url");
    }
    if backend {
        file.result_backend.replace_with_variable("CELERY_RESULT_BACKEND", "celery.result_backend");
    }
    if file.broker_url.value.is_none() {
        context.fault(&file.at, "the key `broker_url` is missing");
    }
    let broker_url = celery_url(&file.broker_url, context);
    let result_backend = celery_url(&file.result_backend, context);
    let ca = certificates(&file.ca, context);
    let queues = celery_queues(&file, context);
    let broker = broker_url?;
    if file.ca.given && broker.scheme != "rediss" {
        let message = "it is of no use without TLS: the URL of the broker begins with `redis://`";
        context.fault(&file.ca.at, message);
    }
    let prefix = |field: Field<Prefix>, otherwise: &str| {
        field.value.map_or_else(|| otherwise.to_owned(), |Prefix(text)| text)
    };
    Some(Celery {
        database: broker.number(),
        broker_url: broker.secret(),
        result_backend: result_backend.map(|url| url.secret()),
        ca,
        queues,
        global_keyprefix: prefix(file.global_keyprefix, ""),
        fanout_prefix: prefix(file.fanout_prefix, "/{db}."),
    })
}

/// The queues that are watched: Celery's own, where none are named.
fn celery_queues(file: &CeleryFile, context: &mut Context<'_, '_, '_>) -> Vec<String> {
    let Some(spots) = &file.queues.value else { return vec![DEFAULT_QUEUE.to_owned()] };
    if spots.len() > CELERY_QUEUES_MAX {
        let message = format!("{} queues; at most {CELERY_QUEUES_MAX} are watched", spots.len());
        context.fault(&file.queues.at, message);
    }
    let mut queues: Vec<String> = Vec::new();
    for spot in spots {
        let QueueName(name) = &spot.value;
        match queues.contains(name) {
            true => context.fault(&spot.at, format!("the queue `{name}` is named twice")),
            false => queues.push(name.clone()),
        }
    }
    queues
}

fn celery_url(field: &Field<SecretRef>, context: &mut Context<'_, '_, '_>) -> Option<RedisUrl> {
    let text = url_text(field, context)?;
    let url = without_python_words(text.expose()).and_then(RedisUrl::parse);
    let url = url.map_err(|error| context.fault(&field.at, error)).ok()?;
    if url.is_cluster() {
        context.fault(&field.at, "Celery has no use for a cluster: its broker is a single Redis");
    }
    let literal = matches!(field.value, Some(SecretRef::Literal(_)));
    if literal && url.server.password.is_some() && context.environment != Environment::Dev {
        let message = "there is a password in the URL: refer to the whole URL with \
                       `{ file = \"/path\" }` or `{ env = \"NAME\" }`";
        context.fault(&field.at, message);
    }
    Some(url)
}

/// The URL without what Celery in Python has to be told about certificates, where that is what is done
/// here in any case: they are checked.
fn without_python_words(url: &str) -> Result<&str, String> {
    match url.split_once("?ssl_cert_reqs=") {
        None => Ok(url),
        Some((server, "required" | "CERT_REQUIRED")) => Ok(server),
        Some(_) => Err("certificates are always checked: in the URL write \
                        `ssl_cert_reqs=required`, and name those that are trusted in `celery.ca`"
            .to_owned()),
    }
}
