use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::RootCertStore;
use rustls::StreamOwned;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::authority::Authority;

const PING: [&str; 1] = ["PING"];

fn over_tcp(addr: SocketAddr) -> Connection<TcpStream> {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(START_MAX)).unwrap();
    Connection::new(stream)
}

/// Asks over TLS, as somebody who trusts `authority` alone.
fn ask_over_tls(server: &RedisServer, authority: &Authority, words: &[&str]) -> io::Result<Reply> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.root()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let client = ClientConnection::new(Arc::new(client), name).unwrap();
    let stream = TcpStream::connect(server.addr())?;
    Connection::new(StreamOwned::new(client, stream)).ask(words)
}

#[track_caller]
fn assert_error(reply: &Reply, kind: &str) {
    assert!(matches!(reply, Reply::Error(why) if why.starts_with(kind)), "{reply:?}");
}

#[test]
fn two_servers_side_by_side_do_not_see_each_other() {
    let one = RedisServer::start();
    let other = RedisServer::start();
    assert_ne!(one.port(), other.port());
    assert_eq!(one.command(&["SET", "key", "text with\r\nbreaks"]).unwrap(), Reply::text("OK"));
    assert_eq!(one.command(&["GET", "key"]).unwrap(), Reply::text("text with\r\nbreaks"));
    assert_eq!(other.command(&["GET", "key"]).unwrap(), Reply::Bulk(None));
}

#[test]
fn what_clients_find_on_the_port_is_what_the_test_asks() {
    let server = RedisServer::start();
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}/0", server.port()));
    over_tcp(server.addr()).ask(&["SET", "key", "value"]).unwrap();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), Reply::text("value"));
}

#[test]
fn settings_are_as_promised_and_can_be_added_to() {
    let server = RedisServer::start_with(&["--maxmemory", "64mb"]);
    for (setting, value) in
        [("maxmemory-policy", "noeviction"), ("maxmemory", "67108864"), ("save", "")]
    {
        let reply = server.command(&["CONFIG", "GET", setting]).unwrap();
        assert_eq!(reply, Reply::Array(vec![Reply::text(setting), Reply::text(value)]));
    }
    assert!(server.socket().exists());
    assert_eq!(server.info("maxmemory_policy").as_deref(), Some("noeviction"));
    assert_eq!(server.info("no_such_field"), None);
}

#[test]
fn a_stopped_server_cannot_be_reached() {
    let mut server = RedisServer::start();
    server.stop();
    assert!(server.command(&PING).is_err());
    let refused = TcpStream::connect(server.addr()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_restarted_server_is_on_the_same_port_and_empty() {
    let mut server = RedisServer::setup().password("secret").start();
    let url = server.url();
    for stopped_before in [true, false] {
        server.command(&["SET", "key", "value"]).unwrap();
        if stopped_before {
            server.stop();
        }
        server.restart();
        assert_eq!(server.command(&["GET", "key"]).unwrap(), Reply::Bulk(None));
        assert_error(&over_tcp(server.addr()).ask(&PING).unwrap(), "NOAUTH");
    }
    assert_eq!(server.url(), url);
}

#[test]
fn a_restarted_server_whose_settings_say_so_has_what_was_in_it() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    server.command(&["SET", "key", "value"]).unwrap();
    server.restart();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), Reply::text("value"));
}

#[test]
fn a_paused_server_lets_in_and_answers_only_when_it_is_resumed() {
    let mut server = RedisServer::start();
    server.pause();
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client.write_all(b"PING\r\n").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut answer = [0; 7];
    assert_eq!(client.read(&mut answer).unwrap_err().kind(), ErrorKind::WouldBlock);
    server.resume();
    client.set_read_timeout(Some(START_MAX)).unwrap();
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_paused_server_ends_when_dropped() {
    let mut server = RedisServer::start();
    let process = PathBuf::from(format!("/proc/{}", server.process.id()));
    server.pause();
    assert!(process.exists());
    drop(server);
    assert!(!process.exists());
}

#[test]
fn a_server_with_a_password_asks_clients_for_it_and_not_the_test() {
    let server = RedisServer::setup().password("p@ss word").start();
    let mut client = over_tcp(server.addr());
    assert_error(&client.ask(&PING).unwrap(), "NOAUTH");
    assert_error(&client.ask(&["AUTH", "other"]).unwrap(), "WRONGPASS");
    assert_eq!(client.ask(&["AUTH", "p@ss word"]).unwrap(), Reply::text("OK"));
    assert_eq!(client.ask(&PING).unwrap(), Reply::text("PONG"));
    assert!(server.url().starts_with("redis://:p%40ss%20word@"), "{}", server.url());
    // Also once it is another.
    server.command(&["CONFIG", "SET", "requirepass", "other"]).unwrap();
    assert_error(&over_tcp(server.addr()).ask(&["AUTH", "p@ss word"]).unwrap(), "WRONGPASS");
    assert_eq!(server.command(&PING).unwrap(), Reply::text("PONG"));
}

#[test]
fn a_server_with_a_user_lets_in_nobody_else_and_holds_him_to_his_rules() {
    let server = RedisServer::setup().user("ann", "secret", "~rl:* +get +set").start();
    let mut client = over_tcp(server.addr());
    assert_error(&client.ask(&PING).unwrap(), "NOAUTH");
    assert_eq!(client.ask(&["AUTH", "ann", "secret"]).unwrap(), Reply::text("OK"));
    assert_eq!(client.ask(&["SET", "rl:1", "value"]).unwrap(), Reply::text("OK"));
    for refused in [&["SET", "other", "value"][..], &["DEL", "rl:1"]] {
        assert_error(&client.ask(refused).unwrap(), "NOPERM");
    }
    assert_eq!(server.command(&["DEL", "rl:1"]).unwrap(), Reply::Integer(1));
    assert!(server.url().starts_with("redis://ann:secret@"), "{}", server.url());
}

#[test]
fn a_server_with_tls_proves_who_it_is_and_speaks_nothing_else_on_its_port() {
    let [authority, foreign] = [Authority::new(), Authority::new()];
    let server = RedisServer::start_with_tls(&authority.certifies(&["127.0.0.1"]));
    assert_eq!(ask_over_tls(&server, &authority, &PING).unwrap(), Reply::text("PONG"));
    let refused = ask_over_tls(&server, &foreign, &PING).unwrap_err();
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    assert!(over_tcp(server.addr()).ask(&PING).is_err());
    assert_eq!(server.command(&PING).unwrap(), Reply::text("PONG"));
    assert_eq!(server.url(), format!("rediss://127.0.0.1:{}/0", server.port()));
}

#[test]
fn a_server_is_found_over_a_link_with_the_same_credentials() {
    let server = RedisServer::setup().password("secret").start();
    let link = Link::to(server.addr());
    assert_eq!(server.url_over(&link), format!("redis://:secret@127.0.0.1:{}/0", link.port()));
    let mut client = over_tcp(link.addr());
    assert_eq!(client.ask(&["AUTH", "secret"]).unwrap(), Reply::text("OK"));
    link.cut();
    assert!(client.ask(&PING).is_err());
    assert_eq!(server.command(&PING).unwrap(), Reply::text("PONG"));
}

#[test]
fn a_setting_that_redis_does_not_know_fails_the_start_with_its_log() {
    let started = std::panic::catch_unwind(|| RedisServer::start_with(&["--no-such", "thing"]));
    let panic = *started.unwrap_err().downcast::<String>().unwrap();
    assert!(panic.contains("no-such"), "{panic}");
}
