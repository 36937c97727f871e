//! A browser with a jar of cookies, for somebody who signs in at a provider.

use std::cell::RefCell;
use std::collections::BTreeMap;

use axum::body::Body;
use http::Request;
use http::header::COOKIE;
use http::header::SET_COOKIE;
use test_support::identity_provider::IdentityProvider;
use test_support::identity_provider::Person;

use crate::support::*;

/// Where the house is, by its configuration.
pub(crate) const ORIGIN: &str = "http://127.0.0.1:8080";

/// All ways to the test's provider.
pub(crate) const WAYS: [&str; 3] = ["google", "github", "oidc/corp"];

/// The same, each with somebody who comes by it.
pub(crate) const PEOPLE: [(&str, &str); 3] =
    [("google", "ann"), ("github", "bea"), ("oidc/corp", "cat")];

/// A house and a provider that it knows in three ways: as Google, as GitHub and as `corp`.
pub(crate) struct Street {
    pub(crate) house: House,
    pub(crate) provider: IdentityProvider,
}

impl Street {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// The configuration of the three, and `more`.
    pub(crate) async fn with(more: &str) -> Self {
        let provider = IdentityProvider::start(Hand::new().now().as_secs());
        let house = House::empty(&format!("{}{more}", ways(&provider))).await;
        Self { house, provider }
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        self.browser_with(Jar::default())
    }

    pub(crate) fn browser_with(&self, jar: Jar) -> Browser<'_> {
        Browser { street: self, jar: RefCell::new(jar) }
    }

    /// Signs `person` in by `way`, in a browser of their own.
    pub(crate) async fn sign_in(&self, way: &str, person: Person) -> Answer {
        self.provider.seat(person);
        self.browser().sign_in(way).await
    }

    /// Who `pair` is, as they are told themselves.
    pub(crate) async fn who(&self, pair: &Pair) -> serde_json::Value {
        let me = self.house.me(&pair.access).await;
        me.is_ok();
        me.json()
    }

    /// Two minutes go by: breakers close, and pages that made no sense are asked again.
    pub(crate) fn rest(&self) {
        self.house.hand.forward(std::time::Duration::from_secs(120));
        self.provider.set_clock(self.house.hand.now().as_secs());
        self.provider.mend();
    }

    pub(crate) fn people(&self) -> i64 {
        self.house.count("SELECT count(*) FROM users")
    }
}

/// The configuration of one provider in three ways.
pub(crate) fn ways(provider: &IdentityProvider) -> String {
    let (oidc, github) = (provider.as_oidc(), provider.as_github());
    format!(
        "[auth.oauth.google]\n{oidc}[auth.oauth.github]\n{github}[auth.oauth.oidc.corp]\n{oidc}"
    )
}

/// Cookies.
pub(crate) type Jar = BTreeMap<String, String>;

/// A browser.
pub(crate) struct Browser<'s> {
    street: &'s Street,
    jar: RefCell<Jar>,
}

impl Browser<'_> {
    /// Asks the house, with the cookies it has, and keeps those that come.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let answer = self.street.house.ask(self.with_cookies(request)).await;
        for line in answer.headers.get_all(SET_COOKIE) {
            let pair = line.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.jar.borrow_mut().insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// A GET with the cookies it has.
    pub(crate) fn request(&self, path: &str) -> Request<Body> {
        self.with_cookies(get(path))
    }

    fn with_cookies(&self, mut request: Request<Body>) -> Request<Body> {
        let cookies: Vec<_> =
            self.jar.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request.headers_mut().insert(COOKIE, cookies.join("; ").parse().unwrap());
        }
        request
    }

    /// Its cookies.
    pub(crate) fn jar(&self) -> Jar {
        self.jar.borrow().clone()
    }

    /// Sets out by `way`; gives where to.
    pub(crate) async fn depart(&self, way: &str) -> String {
        where_to(&self.ask(get(&format!("/auth/{way}"))).await)
    }

    /// Sets out to link an account to whoever `access` is of.
    pub(crate) async fn depart_to_link(&self, way: &str, access: &str) -> String {
        let request = bearer(get(&format!("/auth/{way}?link=1")), access);
        where_to(&self.ask(request).await)
    }

    /// Comes back from where the provider was left.
    pub(crate) async fn arrive(&self, location: &str) -> Answer {
        self.ask(get(path_of(location))).await
    }

    /// There and back.
    pub(crate) async fn sign_in(&self, way: &str) -> Answer {
        let url = self.depart(way).await;
        self.arrive(&self.street.provider.visit(&url)).await
    }

    /// There and back, to link an account.
    pub(crate) async fn link(&self, way: &str, access: &str) -> Answer {
        let url = self.depart_to_link(way, access).await;
        self.arrive(&self.street.provider.visit(&url)).await
    }
}

/// Where a browser is to go, as an answer says it.
#[track_caller]
pub(crate) fn where_to(answer: &Answer) -> String {
    answer.is_ok();
    answer.json()["authorization_url"].as_str().unwrap().to_owned()
}

/// What of a URL at the house a request names.
#[track_caller]
pub(crate) fn path_of(url: &str) -> &str {
    url.strip_prefix(ORIGIN).unwrap_or_else(|| panic!("`{url}` is not at {ORIGIN}"))
}

/// The one linked account of somebody, or what else there is.
pub(crate) async fn accounts(street: &Street, access: &str) -> serde_json::Value {
    let answer = street.house.ask(bearer(get("/auth/accounts"), access)).await;
    answer.is_ok();
    answer.json()
}
