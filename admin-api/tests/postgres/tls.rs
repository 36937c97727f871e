//! What is said to a Postgres, and to whom: each `sslmode`, against a server that really speaks TLS.

use std::fs;

use admin_api::AdminApi;
use config::Database;
use kernel::secret::Secret;
use test_support::authority::Authority;
use test_support::authority::Identity;
use test_support::postgres::DATABASE;
use test_support::postgres::PostgresServer;

use crate::away::fault_of;
use crate::support::*;

/// Where `server` is, under the name `host`, and how it is to be spoken to.
fn url(server: &PostgresServer, host: &str, parameters: &str) -> String {
    format!("postgres://doorward@{host}:{}/{DATABASE}{parameters}", server.port())
}

/// The admin API on the database at `url`.
async fn open(url: &str) -> AdminApi {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_at(dir.path(), "");
    config.database = Database::Postgres { url: Secret::new(url) };
    let api = AdminApi::open(&config, keys(), Hand::new().clock()).await;
    api.unwrap_or_else(|error| panic!("{url}: {error}: {error:?}"))
}

/// Starts a server that is `identity`, with `ann` among its people.
async fn server(identity: &Identity) -> PostgresServer {
    let server = PostgresServer::start_with_tls(identity);
    open(&server.url()).await.users().create(ann()).await.unwrap();
    server
}

/// Signs `ann` in at the database of `server`, and says whether our sessions there are encrypted,
/// as the server sees it: `t`, `f`, or both.
async fn sign_in(server: &PostgresServer, host: &str, parameters: &str) -> String {
    let now = server.query("SELECT now()").unwrap()[0][0].clone().unwrap();
    let api = open(&url(server, host, parameters)).await;
    ask(&api, login(&[("username", "ann"), ("password", PASSWORD)])).await.pair();
    let ours = format!(
        "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE application_name = 'doorward' AND backend_start > '{now}'"
    );
    server.query(&ours).unwrap().into_iter().flatten().flatten().collect()
}

#[tokio::test]
async fn people_sign_in_by_every_sslmode_and_all_but_disable_are_encrypted() {
    let authority = Authority::new();
    let server = server(&authority.certifies(&["localhost"])).await;
    let root = authority.root().display().to_string();
    for (parameters, is_encrypted) in [
        ("", "t"),
        ("?sslmode=disable", "f"),
        ("?sslmode=allow", "t"),
        ("?sslmode=prefer", "t"),
        ("?sslmode=require", "t"),
        ("?sslrootcert=ROOT", "t"),
        ("?sslmode=prefer&sslrootcert=ROOT", "t"),
        ("?sslmode=require&sslrootcert=ROOT", "t"),
        ("?sslmode=verify-ca&sslrootcert=ROOT", "t"),
        ("?sslmode=verify-full&sslrootcert=ROOT", "t"),
        ("?sslmode=disable&sslrootcert=ROOT", "f"),
    ] {
        let seen = sign_in(&server, "localhost", &parameters.replace("ROOT", &root)).await;
        assert_eq!(seen, is_encrypted, "{parameters}");
    }
}

#[tokio::test]
async fn who_the_server_is_does_not_matter_where_that_is_not_asked() {
    let server = server(&Authority::new().certifies(&["db.example.com"])).await;
    for parameters in ["", "?sslmode=allow", "?sslmode=prefer", "?sslmode=require"] {
        assert_eq!(sign_in(&server, "localhost", parameters).await, "t", "{parameters}");
    }
}

#[tokio::test]
async fn a_server_proves_its_own_name_wherever_it_is_reached() {
    let authority = Authority::new();
    let server = server(&authority.certifies(&["db.example.com", "127.0.0.1"])).await;
    let full = format!("?sslmode=verify-full&sslrootcert={}", authority.root().display());
    assert_eq!(sign_in(&server, "127.0.0.1", &full).await, "t");
    let full = format!("{full}&hostaddr=127.0.0.1");
    assert_eq!(sign_in(&server, "db.example.com", &full).await, "t");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_an_unknown_authority_is_named_and_nobody_is_let_in() {
    let (known, unknown) = (Authority::new(), Authority::new());
    let server = PostgresServer::start_with_tls(&unknown.certifies(&["localhost"]));
    let root = known.root().display().to_string();
    for parameters in [
        "?sslrootcert=ROOT",
        "?sslmode=prefer&sslrootcert=ROOT",
        "?sslmode=require&sslrootcert=ROOT",
        "?sslmode=verify-ca&sslrootcert=ROOT",
        "?sslmode=verify-full&sslrootcert=ROOT",
        // The machine's own roots.
        "?sslrootcert=system",
        "?sslmode=verify-ca",
        "?sslmode=verify-full",
    ] {
        let parameters = parameters.replace("ROOT", &root);
        let text = fault_of(&url(&server, "localhost", &parameters)).await;
        assert!(text.contains("invalid peer certificate: UnknownIssuer"), "{parameters}: {text}");
        assert!(text.contains(&format!("`localhost:{}/{DATABASE}`", server.port())), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_another_name_is_told_with_both_names() {
    let authority = Authority::new();
    let server = PostgresServer::start_with_tls(&authority.certifies(&["db.example.com"]));
    for mode in ["verify-ca", "verify-full", "require", "prefer"] {
        let root = authority.root().display().to_string();
        let parameters = format!("?sslmode={mode}&sslrootcert={root}");
        for host in ["localhost", "127.0.0.1"] {
            let text = fault_of(&url(&server, host, &parameters)).await;
            assert!(text.contains("certificate not valid for name"), "{mode}: {text}");
            assert!(text.contains("db.example.com") && text.contains(host), "{mode}: {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_without_tls_is_not_spoken_to_where_tls_is_asked_for() {
    let server = PostgresServer::start();
    for parameters in
        ["?sslmode=require", "?sslmode=verify-ca", "?sslmode=verify-full", "?sslrootcert=system"]
    {
        let text = fault_of(&url(&server, "localhost", parameters)).await;
        assert!(text.contains("server does not support TLS"), "{parameters}: {text}");
    }
}

#[tokio::test]
async fn a_server_that_takes_nobody_without_tls_says_so() {
    let mut server = PostgresServer::start_with_tls(&Authority::new().certifies(&["localhost"]));
    server.stop();
    let rules = server.socket_dir().join("data/pg_hba.conf");
    let usual = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("hostnossl all ann all reject\n{usual}")).unwrap();
    server.start_again();
    let url = format!("postgres://ann:hunter2@localhost:{}/{DATABASE}", server.port());
    let text = fault_of(&format!("{url}?sslmode=disable")).await;
    assert!(text.contains("refuses the connection"), "{text}");
    assert!(text.contains("no encryption (28000)"), "{text}");
}

#[tokio::test]
async fn a_file_of_roots_without_a_root_is_named_before_anything_is_connected() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("root.pem");
    let place = file.display();
    let url = format!("postgres://ann:hunter2@127.0.0.1:1/{DATABASE}?sslrootcert={place}");
    let key_alone = Authority::new().certifies(&["localhost"]).key;
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    for (text, why) in [
        ("", "there is no certificate in it"),
        (&key_alone, "there is no certificate in it"),
        (no_certificate, "invalid peer certificate: BadEncoding"),
        (cut, "section end"),
    ] {
        fs::write(&file, text).unwrap();
        let fault = fault_of(&url).await;
        assert!(fault.contains(&format!("`{place}`, named by `sslrootcert`")), "{fault}");
        assert!(fault.contains(why), "{why}: {fault}");
    }
}
