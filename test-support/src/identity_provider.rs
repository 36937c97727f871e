//! A provider of identities: OpenID Connect, and the same people as GitHub shows them.
//!
//! Real HTTP on a free port, from threads of its own. It checks what a provider checks (client,
//! PKCE, redirect URI, single use of codes), everybody at the consent page says yes at once, and it
//! misbehaves on demand.

mod conduct;

mod keys;

mod server;

mod pages;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;

use serde_json::Value;

pub use self::conduct::Fault;
pub use self::conduct::Person;
pub use self::conduct::Twist;
use self::keys::Key;
pub use self::keys::RSA_PEM;
use self::pages::Site;
use crate::http1;
use crate::http1::Request;

/// The one client it knows.
pub const CLIENT_ID: &str = "doorward-test";

/// That client's secret.
pub const CLIENT_SECRET: &str = "client-secret-of-the-test-provider";

/// A running provider; dropping it ends it.
#[derive(Debug)]
pub struct IdentityProvider {
    addr: SocketAddr,
    site: Arc<Mutex<Site>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Site")
    }
}

impl IdentityProvider {
    /// Starts a provider whose clock shows `now_s`, in seconds since the epoch; whoever signs in is
    /// [`Person::called`] `ann`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(now_s: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let site = Arc::new(Mutex::new(Site::new(format!("http://{addr}"))));
        let ended = Arc::new(AtomicBool::new(false));
        let thread = {
            let (site, ended) = (Arc::clone(&site), Arc::clone(&ended));
            thread::spawn(move || {
                server::serve(
                    &listener,
                    || ended.load(Ordering::SeqCst),
                    move |asked| lock(&site).answer(&asked),
                );
            })
        };
        let provider = Self { addr, site, ended, thread: Some(thread) };
        provider.site().now_s = now_s;
        provider
    }

    /// Its URL, which is its issuer.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The configuration of `[auth.oauth.oidc.NAME]` or `[auth.oauth.google]` for it.
    pub fn as_oidc(&self) -> String {
        let url = self.url();
        format!(
            "client_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\nissuer = \"{url}\"\n"
        )
    }

    /// The configuration of `[auth.oauth.github]` for it.
    pub fn as_github(&self) -> String {
        let url = self.url();
        format!(
            "client_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
             authorization_url = \"{url}/login/oauth/authorize\"\n\
             token_url = \"{url}/login/oauth/access_token\"\n\
             userinfo_url = \"{url}/user\"\nemails_url = \"{url}/user/emails\"\n"
        )
    }

    /// Whoever signs in from now on is `person`.
    pub fn seat(&self, person: Person) {
        self.site().person = person;
    }

    /// Whoever signs in from now on says no.
    pub fn deny(&self) {
        self.site().denies = true;
    }

    /// Its clock shows `now_s` from now on.
    pub fn set_clock(&self, now_s: u64) {
        self.site().now_s = now_s;
    }

    /// The page at `path` goes wrong from now on.
    pub fn break_page(&self, path: &str, fault: Fault) {
        self.site().faults.insert(path.to_owned(), fault);
    }

    /// All pages are as they should be from now on.
    pub fn mend(&self) {
        let mut site = self.site();
        site.faults.clear();
        site.discovered.clear();
    }

    /// Id tokens go wrong from now on.
    pub fn twist(&self, twist: Twist) {
        self.site().twist = Some(twist);
    }

    /// The browser is sent back with `iss` from now on (RFC 9207).
    pub fn name_issuer(&self, iss: &str) {
        self.site().names_issuer = Some(iss.to_owned());
    }

    /// Its discovery document says `value` for `name` from now on.
    pub fn publish(&self, name: &str, value: Value) {
        self.site().discovered.insert(name.to_owned(), value);
    }

    /// It signs with a new key, `kid`, from now on, and publishes that alone.
    pub fn rotate_key(&self, kid: &str) {
        let mut site = self.site();
        site.key = Key::p256();
        site.kid = kid.to_owned();
    }

    /// How many requests came for `path`.
    pub fn seen(&self, path: &str) -> u64 {
        self.site().seen.get(path).copied().unwrap_or(0)
    }

    /// The forms that came to the token endpoints, oldest first.
    pub fn tokens_asked(&self) -> Vec<BTreeMap<String, String>> {
        self.site().tokens_asked.clone()
    }

    /// What a browser does that is sent to `authorization_url`: gives where it is sent back to.
    ///
    /// # Panics
    /// When the URL is another's, or the provider does not send it back.
    #[track_caller]
    pub fn visit(&self, authorization_url: &str) -> String {
        let target = authorization_url.strip_prefix(&self.url());
        let target = target.unwrap_or_else(|| panic!("`{authorization_url}` is not our URL"));
        let answer = http1::ask(self.addr, &Request::get(target));
        match answer.header("location") {
            Some(location) if answer.status == 302 => location.to_owned(),
            _ => panic!("the browser is not sent back: {answer}"),
        }
    }

    /// Stops: nobody listens there any more.
    pub fn stop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Whoever waits for a connection looks up at the next.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn site(&self) -> MutexGuard<'_, Site> {
        lock(&self.site)
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(site: &Mutex<Site>) -> MutexGuard<'_, Site> {
    site.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fields of the query of `url`.
pub fn query_of(url: &str) -> BTreeMap<String, String> {
    server::fields(url.split_once('?').map_or("", |(_, query)| query))
}
