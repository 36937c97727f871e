//! From the URL of a Postgres to a pool of connections, or one clear paragraph.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use deadpool_postgres::Hook;
use deadpool_postgres::HookError;
use deadpool_postgres::Manager;
use deadpool_postgres::ManagerConfig;
use deadpool_postgres::Pool;
use deadpool_postgres::RecyclingMethod;
use kernel::secret::Secret;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::Builder;
use tokio_postgres::Config;
use tokio_postgres::NoTls;
use tokio_postgres::config::Host;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::any_certificate::AnyCertificate;
use super::open::OpenError;
use super::seat::Drive;
use super::seat::PoolSeat;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// After how long without a word it is asked whether the server still lives.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What the server is asked to give up by itself, should we be gone: a wait for somebody else's
/// row, a statement, a transaction that nobody goes on with. A little more than we wait ourselves.
pub(crate) const PATIENCE: &str = "SET lock_timeout = '4s'; SET statement_timeout = '6s'; \
                                   SET idle_in_transaction_session_timeout = '15s'";

/// For long work: as the server has it.
pub(crate) const AS_IT_IS: &str = "";

/// How we introduce ourselves to the server, for whoever looks at its list of connections.
const APPLICATION: &str = "doorward";

/// Where a Postgres is and how it is reached.
pub(crate) struct Server {
    config: Config,
    tls: Option<ClientConfig>,
    /// Host and database, as an operator may read them.
    pub(crate) place: String,
}

impl Server {
    /// Reads `url`.
    ///
    /// # Errors
    /// [`OpenError::Url`], [`OpenError::Certificates`]; neither repeats the password.
    pub(crate) fn of(url: &Secret) -> Result<Self, OpenError> {
        let (plain, tls) = Tls::taken_from(url.expose())?;
        let mut config: Config = plain.parse().map_err(|error| OpenError::Url(root_of(&error)))?;
        config
            .application_name(APPLICATION)
            .ssl_mode(tls.mode)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE)
            .tcp_user_timeout(KEEPALIVE);
        let place = place(&config);
        Ok(Self { config, tls: tls.client()?, place })
    }

    /// A pool of at most `connections_max` connections, none of which is made yet; `settings` is
    /// said to the server on each.
    ///
    /// # Errors
    /// [`OpenError::Thread`].
    pub(crate) fn pool(
        self,
        connections_max: usize,
        settings: &'static str,
    ) -> Result<PoolSeat, OpenError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(OpenError::Thread)?;
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match self.tls {
            Some(tls) => Manager::from_config(self.config, MakeRustlsConnect::new(tls), how),
            None => Manager::from_config(self.config, NoTls, how),
        };
        let settle = Hook::async_fn(move |client: &mut ClientWrapper, _| {
            Box::pin(
                async move { client.batch_execute(settings).await.map_err(HookError::Backend) },
            )
        });
        let pool = Pool::builder(manager).max_size(connections_max).post_create(settle).build();
        // Only a pool with time limits of its own needs to be told of a runtime.
        let pool = pool.map_err(|error| OpenError::Url(error.to_string()))?;
        Ok(PoolSeat { pool, runtime: Arc::new(Drive::new(runtime)) })
    }
}

/// What a URL says of TLS, in the words of libpq (its documentation, §34.19).
struct Tls {
    mode: SslMode,
    /// Whether the server must prove that it is the one that was meant.
    verifies: bool,
    roots: Option<PathBuf>,
}

impl Tls {
    /// Takes `sslmode` and `sslrootcert` out of `url`; gives the rest.
    fn taken_from(url: &str) -> Result<(String, Self), OpenError> {
        let mut tls = Self { mode: SslMode::Prefer, verifies: false, roots: None };
        let mut names_roots = false;
        let Some((server, parameters)) = url.split_once('?') else {
            return Ok((url.to_owned(), tls));
        };
        let mut others = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
            match (&*name, &*value) {
                ("sslmode", mode) => (tls.mode, tls.verifies) = mode_of(mode)?,
                ("sslrootcert", "system") => names_roots = true,
                ("sslrootcert", path) => {
                    (names_roots, tls.roots) = (true, Some(PathBuf::from(path)));
                }
                (name, value) => drop(others.append_pair(name, value)),
            }
        }
        // Whoever names roots wants them to be used, and would not be served by a connection that
        // somebody in between talked into doing without.
        tls.verifies |= names_roots;
        if names_roots && tls.mode == SslMode::Prefer {
            tls.mode = SslMode::Require;
        }
        // Forms write a space as `+`, which in this URL would be a plus.
        Ok((format!("{server}?{}", others.finish().replace('+', "%20")), tls))
    }

    fn client(&self) -> Result<Option<ClientConfig>, OpenError> {
        if self.mode == SslMode::Disable {
            return Ok(None);
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| OpenError::Url(error.to_string()))?;
        if !self.verifies {
            let any = Arc::new(AnyCertificate::new());
            return Ok(Some(
                builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth(),
            ));
        }
        let roots = match &self.roots {
            Some(path) => roots_in(path)?,
            None => outbound::roots_of_the_system(),
        };
        Ok(Some(builder.with_root_certificates(roots).with_no_client_auth()))
    }
}

fn mode_of(text: &str) -> Result<(SslMode, bool), OpenError> {
    match text {
        "disable" => Ok((SslMode::Disable, false)),
        "allow" | "prefer" => Ok((SslMode::Prefer, false)),
        "require" => Ok((SslMode::Require, false)),
        // Whose name is not checked could be anybody with a certificate: both are the strict one.
        "verify-ca" | "verify-full" => Ok((SslMode::Require, true)),
        other => Err(OpenError::Url(format!(
            "`{other}` is no sslmode; use `disable`, `prefer`, `require` or `verify-full`"
        ))),
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore, OpenError> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Certificates {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(|error| unusable(error.into()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_reader_iter(BufReader::new(file)) {
        let certificate = certificate.map_err(|error| unusable(error.to_string().into()))?;
        roots.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    if roots.is_empty() { Err(unusable("there is no certificate in it".into())) } else { Ok(roots) }
}

fn place(config: &Config) -> String {
    let port = |i: usize| config.get_ports().get(i).or(config.get_ports().first()).copied();
    let hosts = config.get_hosts().iter().enumerate().map(|(i, host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(i).unwrap_or(5432)),
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!("{hosts}/{}", config.get_dbname().unwrap_or_default())
}

fn root_of(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> String {
        let Err(error) = Server::of(&Secret::new(url)) else { panic!("`{url}` is taken") };
        let text = format!("{error} {}", root_of(&error));
        assert!(!text.contains("hunter2"), "{text}");
        text
    }

    #[test]
    fn a_place_is_named_without_user_and_password() {
        let place = |url: &str| Server::of(&Secret::new(url)).unwrap().place;
        assert_eq!(place("postgres://ann:hunter2@db/doorward"), "db:5432/doorward");
        assert_eq!(place("postgres://ann@db:6432/doorward?sslmode=require"), "db:6432/doorward");
        assert_eq!(place("postgres:///doorward?host=/run/postgresql"), "/run/postgresql/doorward");
    }

    #[test]
    fn tls_is_what_libpq_would_make_of_the_url() {
        let tls = |parameters: &str| {
            let (_, tls) = Tls::taken_from(&format!("postgres://db/doorward{parameters}")).unwrap();
            (tls.mode, tls.verifies)
        };
        assert_eq!(tls(""), (SslMode::Prefer, false));
        assert_eq!(tls("?sslmode=disable"), (SslMode::Disable, false));
        assert_eq!(tls("?sslmode=require"), (SslMode::Require, false));
        assert_eq!(tls("?sslmode=require&sslrootcert=/a.pem"), (SslMode::Require, true));
        assert_eq!(tls("?sslmode=verify-full"), (SslMode::Require, true));
        // Whatever their order, and whatever stands for the mode.
        for roots in ["system", "/a.pem"] {
            for modes in ["", "&sslmode=require", "&sslmode=prefer", "&sslmode=verify-ca"] {
                let mode_last = format!("?sslrootcert={roots}{modes}");
                assert_eq!(tls(&mode_last), (SslMode::Require, true), "{mode_last}");
            }
        }
    }

    #[test]
    fn a_space_and_a_plus_in_a_parameter_stay_what_they_are() {
        let url = "postgres://db/doorward?options=-c%20search_path%3Ddoor&application_name=a%2Bb";
        let (plain, _) = Tls::taken_from(url).unwrap();
        let config: Config = plain.parse().unwrap();
        assert_eq!(config.get_options(), Some("-c search_path=door"));
        assert_eq!(config.get_application_name(), Some("a+b"));
    }

    #[test]
    fn a_parameter_that_means_nothing_is_named_and_the_password_is_not() {
        assert!(fault("postgres://a:hunter2@db/d?sslmode=maybe").contains("`maybe` is no sslmode"));
        assert!(fault("postgres://a:hunter2@db/d?colour=red").contains("colour"));
        let missing = fault("postgres://a:hunter2@db/d?sslmode=verify-full&sslrootcert=/no/such");
        assert!(missing.contains("`/no/such`"), "{missing}");
    }
}
