//! OAuth clients that others wrote, unmodified, against the real binary: what docs/clients.md says.
//!
//! Each goes the same way, in a script of its own that shows a reader how its library is used, and
//! says as JSON what it saw.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use serde_json::json;
use test_support::doorward::Doorward;
use test_support::http1::Request;
use test_support::identity_provider::RSA_PEM;
use test_support::node::Node;
use test_support::place::free_port;
use test_support::postgres::PostgresServer;
use test_support::python::Python;
use test_support::upstream::Echo;
use test_support::upstream::Upstream;

use crate::documents::shown;
use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::USUAL;
use crate::scene::assert_revoked;
use crate::tokens::claims_of;

/// How often a start is tried whose port somebody else took first.
const STARTS_MAX: usize = 5;

/// Signs with keys that are published, made at the start.
const ES256: &str = "auth.stored_key_alg = \"ES256\"";

/// The library that speaks to Doorward.
#[derive(Clone, Copy, Debug)]
enum Library {
    RequestsOauthlib,
    Authlib,
    OpenidClient,
}

use Library::Authlib;
use Library::OpenidClient;
use Library::RequestsOauthlib;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/clients")).join(name)
}

impl Library {
    fn script(self) -> PathBuf {
        file(match self {
            RequestsOauthlib => "by_requests_oauthlib.py",
            Authlib => "by_authlib.py",
            OpenidClient => "by_openid_client.mjs",
        })
    }

    fn command(self) -> Command {
        let python = || Python::with(&file("requirements.txt")).script(&self.script());
        // What allows http; openid-client is told so in its script.
        let (mut command, switch) = match self {
            RequestsOauthlib => (python(), "OAUTHLIB_INSECURE_TRANSPORT"),
            Authlib => (python(), "AUTHLIB_INSECURE_TRANSPORT"),
            OpenidClient => return Node::with(&file("package.json")).script(&self.script()),
        };
        command.env(switch, "1");
        command
    }

    /// Goes the whole way, and says what it saw.
    #[track_caller]
    fn go(self, scene: &Scene) -> Saw {
        let output = self.command().args([&*base(scene), "ann", "watch", PASSWORD]).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?}: {}\n{said}", output.status);
        Saw { library: self, all: serde_json::from_slice(&output.stdout).unwrap() }
    }
}

/// What a library made of Doorward's answers.
struct Saw {
    library: Library,
    all: Value,
}

impl Saw {
    #[track_caller]
    fn is(&self, pointer: &str, expected: impl Into<Value>) {
        let Self { library, all } = self;
        let found = all.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(*found, expected.into(), "`{pointer}` by {library:?} in {all:#}");
    }

    #[track_caller]
    fn text(&self, pointer: &str) -> &str {
        let Self { library, all } = self;
        let found = all.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text `{pointer}` by {library:?} in {all:#}"))
    }
}

fn base(scene: &Scene) -> String {
    format!("http://{}", scene.doorward.public())
}

/// A Doorward that says where it is, with `ann`, who may see orders, and `watch`, a service that
/// may introspect. `first` and `last` are what else its configuration says; it may refer to the
/// secrets `RSA_KEY` and `SEAL`.
fn scene(first: &str, last: &str) -> Scene {
    let upstream = Upstream::start();
    let start = || {
        // Its URL is in its configuration, so its port is chosen before it is started.
        let port = free_port();
        let place = format!("http://127.0.0.1:{port}");
        let place = format!("auth.issuer = \"{place}\"\nlisten.public_url = \"{place}\"");
        let config = format!("{place}\n{first}\n{USUAL}\n{last}");
        let config = config.replace("UPSTREAM", &upstream.url());
        let builder = Doorward::builder().config(config).public_port(port);
        builder.env("RSA_KEY", RSA_PEM).env("SEAL", &"seal".repeat(8)).try_start()
    };
    let taken = |(_, log): &(_, String)| log.contains("is something else there?");
    let mut started = start();
    for _ in 1..STARTS_MAX {
        if started.as_ref().is_err_and(taken) {
            started = start();
        }
    }
    let doorward = started.unwrap_or_else(|(status, log)| panic!("{status:?}\n{log}"));
    for name in ["ann", "watch"] {
        doorward.create_user(name, "free", PASSWORD);
    }
    doorward.must(&["user", "set-role", "ann", "editor"]);
    doorward.must(&["user", "set-scopes", "watch", "introspect"]);
    Scene { doorward, upstream }
}

/// Sends a library through, and checks that all was as it should be, from both sides.
#[track_caller]
fn assert_works(library: Library, scene: &Scene) {
    let reached_before = scene.reached();
    let saw = library.go(scene);
    saw.is("/found/issuer", base(scene));
    assert_signed_in(&saw);
    assert_revoked_for_good(&saw);
    for pointer in ["/signed_in/access_token", "/refreshed/access_token"] {
        let call = Request::get("/orders/4").bearer(saw.text(pointer));
        assert_revoked(&scene.ask(&call));
    }
    // One with each token, and none with a revoked one.
    assert_eq!(scene.reached() - reached_before, 2);
}

/// Both access tokens let their bearer through, and everybody is told who that is.
#[track_caller]
fn assert_signed_in(saw: &Saw) {
    for of in ["signed_in", "refreshed"] {
        assert_eq!(saw.text(&format!("/{of}/token_type")).to_lowercase(), "bearer");
        saw.is(&format!("/{of}/expires_in"), 1800);
    }
    assert_ne!(saw.text("/signed_in/refresh_token"), saw.text("/refreshed/refresh_token"));
    let [first, next] = ["/signed_in/access_token", "/refreshed/access_token"]
        .map(|pointer| claims_of(saw.text(pointer)));
    assert_ne!(first["jti"], next["jti"]);
    assert_eq!(first["sid"], next["sid"]);
    for (of, path) in [("order", "/orders/1"), ("again", "/orders/2")] {
        saw.is(&format!("/{of}/status"), 200);
        let echo = Echo::from_json(&saw.all[of]["body"]);
        assert_eq!((echo.path(), echo.header("x-username")), (path, Some("ann")));
    }
    saw.is("/looked_at/active", true);
    saw.is("/looked_at/username", "ann");
    saw.is("/looked_at/jti", next["jti"].clone());
    match saw.library {
        // It has nothing that verifies.
        RequestsOauthlib => {}
        Authlib | OpenidClient => saw.is("/verified", first),
    }
}

/// Nothing is left of the session, and each refusal is an error of the library's own.
#[track_caller]
fn assert_revoked_for_good(saw: &Saw) {
    saw.is("/after/status", 401);
    saw.is("/looked_at_after", json!({ "active": false }));
    saw.is("/refresh_after/error", "invalid_grant");
    match saw.library {
        RequestsOauthlib | Authlib => {
            saw.is("/revoked", 200);
            saw.is("/after/body/error_code", "TOKEN_REVOKED");
            saw.is("/wrong_password", json!({ "error": "invalid_grant" }));
        }
        OpenidClient => {
            saw.is("/after/error", "invalid_token");
            // It looks at the challenge, and at the body only where there is none.
            saw.is("/wrong_password", json!({ "status": 401, "error": "bearer" }));
        }
    }
}

#[test]
fn requests_oauthlib_signs_in_refreshes_and_revokes() {
    assert_works(RequestsOauthlib, &scene(ES256, ""));
}

#[test]
fn authlib_signs_in_verifies_refreshes_introspects_and_revokes() {
    assert_works(Authlib, &scene(ES256, ""));
}

#[test]
fn openid_client_signs_in_verifies_refreshes_introspects_and_revokes() {
    assert_works(OpenidClient, &scene(ES256, ""));
}

#[test]
fn what_the_document_shows_is_what_the_scripts_do() {
    let scripts = [RequestsOauthlib, Authlib, OpenidClient]
        .map(|library| fs::read_to_string(library.script()).unwrap());
    let code = [shown("clients.md", "python"), shown("clients.md", "js")].concat();
    for script in &scripts {
        assert!(code.iter().filter(|code| script.contains(*code)).count() >= 4, "{script}");
    }
    for code in &code {
        assert!(scripts.iter().any(|script| script.contains(code)), "in no script:\n{code}");
    }
}

#[test]
fn all_of_them_do_the_same_on_postgres() {
    let server = PostgresServer::start();
    let first = "auth.stored_key_alg = \"EdDSA\"\n\
                 auth.key_encryption_key = { env = \"SEAL\" }";
    let scene = scene(first, &format!("[database]\nurl = \"{}\"", server.url()));
    for library in [RequestsOauthlib, Authlib, OpenidClient] {
        assert_works(library, &scene);
    }
}

#[test]
fn tokens_that_rsa_keys_sign_are_verified_by_the_published_ones() {
    for alg in ["RS256", "PS256"] {
        let key = format!("kid = \"rsa\"\nalg = \"{alg}\"\nprivate_key = {{ env = \"RSA_KEY\" }}");
        let scene = scene("", &format!("[[auth.keys]]\n{key}"));
        for library in [Authlib, OpenidClient] {
            assert_works(library, &scene);
        }
    }
}
