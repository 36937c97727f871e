//! The pages: what a browser and a client can ask of the provider.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::SHA256;
use ring::digest::digest;
use ring::hmac;
use serde_json::Value;
use serde_json::json;

use super::CLIENT_ID;
use super::CLIENT_SECRET;
use super::conduct::Fault;
use super::conduct::Person;
use super::conduct::Twist;
use super::keys::Key;
use super::keys::base64url;
use super::keys::unsigned;
use super::server::Asked;
use super::server::Reply;

/// Everything the provider knows.
pub(super) struct Site {
    pub(super) url: String,
    pub(super) person: Person,
    pub(super) denies: bool,
    pub(super) names_issuer: Option<String>,
    pub(super) faults: BTreeMap<String, Fault>,
    pub(super) twist: Option<Twist>,
    pub(super) discovered: BTreeMap<String, Value>,
    pub(super) now_s: u64,
    pub(super) key: Key,
    pub(super) kid: String,
    pub(super) seen: BTreeMap<String, u64>,
    pub(super) tokens_asked: Vec<BTreeMap<String, String>>,
    codes: BTreeMap<String, Grant>,
    tokens: BTreeMap<String, Person>,
    given: u64,
}

/// What a code was given for.
struct Grant {
    person: Person,
    challenge: String,
    nonce: Option<String>,
    redirect_uri: String,
}

impl Site {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            person: Person::called("ann"),
            denies: false,
            names_issuer: None,
            faults: BTreeMap::new(),
            twist: None,
            discovered: BTreeMap::new(),
            now_s: 0,
            key: Key::rsa(),
            kid: "k1".to_owned(),
            seen: BTreeMap::new(),
            tokens_asked: Vec::new(),
            codes: BTreeMap::new(),
            tokens: BTreeMap::new(),
            given: 0,
        }
    }

    pub(super) fn answer(&mut self, asked: &Asked) -> Reply {
        *self.seen.entry(asked.path.clone()).or_default() += 1;
        if let Some(fault) = self.faults.get(&asked.path) {
            return faulty(*fault, &self.url);
        }
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/.well-known/openid-configuration") => json_of(200, &self.document()),
            ("GET", "/jwks") => json_of(200, &json!({ "keys": [self.key.jwk(&self.kid)] })),
            ("GET", "/authorize" | "/login/oauth/authorize") => self.authorize(asked),
            ("POST", "/token") => self.token(asked),
            ("GET", "/userinfo") => self.userinfo(asked),
            ("POST", "/login/oauth/access_token") => self.github_token(asked),
            ("GET", "/user") => self.github_user(asked),
            ("GET", "/user/emails") => self.github_emails(asked),
            _ => json_of(404, &json!({ "error": "not_found" })),
        }
    }

    fn document(&self) -> Value {
        let url = &self.url;
        let mut document = json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "userinfo_endpoint": format!("{url}/userinfo"),
            "jwks_uri": format!("{url}/jwks"),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        });
        for (name, value) in &self.discovered {
            document[name] = value.clone();
        }
        document
    }

    /// Everybody consents at once, or denies.
    fn authorize(&mut self, asked: &Asked) -> Reply {
        let query = |name: &str| asked.query.get(name).cloned().unwrap_or_default();
        let is_sound = query("response_type") == "code"
            && query("client_id") == CLIENT_ID
            && query("code_challenge_method") == "S256"
            && query("code_challenge").len() == 43
            && !query("state").is_empty()
            && !query("scope").is_empty();
        if !is_sound {
            return json_of(400, &json!({ "error": "invalid_request" }));
        }
        let mut answer = form_urlencoded::Serializer::new(String::new());
        if self.denies {
            answer.append_pair("error", "access_denied");
            answer.append_pair("error_description", "the person said no");
        } else {
            let code = self.fresh("code");
            answer.append_pair("code", &code);
            let grant = Grant {
                person: self.person.clone(),
                challenge: query("code_challenge"),
                nonce: asked.query.get("nonce").cloned(),
                redirect_uri: query("redirect_uri"),
            };
            self.codes.insert(code, grant);
        }
        answer.append_pair("state", &query("state"));
        if let Some(issuer) = &self.names_issuer {
            answer.append_pair("iss", issuer);
        }
        redirect(&format!("{}?{}", query("redirect_uri"), answer.finish()))
    }

    /// Takes a code back, once, from whoever can show the verifier and the secret.
    fn redeem(&mut self, form: &BTreeMap<String, String>) -> Option<Grant> {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let grant = self.codes.remove(field("code"))?;
        let verifier = field("code_verifier");
        let challenge = base64url(digest(&SHA256, verifier.as_bytes()));
        let proven = (43..=128).contains(&verifier.len()) && challenge == grant.challenge;
        (proven && field("redirect_uri") == grant.redirect_uri).then_some(grant)
    }

    fn token(&mut self, asked: &Asked) -> Reply {
        self.tokens_asked.push(asked.form.clone());
        if !is_client(asked) {
            return json_of(401, &json!({ "error": "invalid_client" }));
        }
        let is_grant =
            asked.form.get("grant_type").is_some_and(|kind| kind == "authorization_code");
        let Some(grant) = self.redeem(&asked.form).filter(|_| is_grant) else {
            return json_of(400, &json!({ "error": "invalid_grant" }));
        };
        let access = self.fresh("access");
        let mut tokens = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": 3600,
            "id_token": self.id_token(&grant),
        });
        if self.twist == Some(Twist::Missing) {
            tokens.as_object_mut().expect("an object").remove("id_token");
        }
        self.tokens.insert(access, grant.person);
        json_of(200, &tokens)
    }

    fn id_token(&self, grant: &Grant) -> String {
        let mut claims = json!({
            "iss": self.url, "sub": grant.person.subject, "aud": CLIENT_ID, "nonce": grant.nonce,
            "iat": self.now_s, "exp": self.now_s + 300, "name": grant.person.name,
            "preferred_username": grant.person.login,
        });
        if !matches!(self.twist, Some(Twist::NoEmail | Twist::OthersUserinfo)) {
            claims["email"] = json!(grant.person.email);
            claims["email_verified"] = json!(grant.person.email_verified);
        }
        match self.twist {
            Some(Twist::Nonce) => claims["nonce"] = json!("another"),
            Some(Twist::NoNonce) => drop(claims.as_object_mut().map(|all| all.remove("nonce"))),
            Some(Twist::Audience) => claims["aud"] = json!("another client"),
            Some(Twist::AuthorizedParty) => {
                claims["aud"] = json!([CLIENT_ID, "another"]);
                claims["azp"] = json!("another");
            }
            Some(Twist::Issuer) => claims["iss"] = json!("https://another.example"),
            Some(Twist::Expired) => {
                claims["iat"] = json!(self.now_s - 3900);
                claims["exp"] = json!(self.now_s - 3600);
            }
            _ => {}
        }
        let header = json!({ "alg": self.key.algorithm(), "kid": self.kid, "typ": "JWT" });
        match self.twist {
            Some(Twist::AlgNone) => unsigned(&json!({ "alg": "none" }), &claims) + ".",
            Some(Twist::PublicKeyAsSecret) => {
                let input = unsigned(&json!({ "alg": "HS256", "kid": self.kid }), &claims);
                let public = self.key.jwk(&self.kid).to_string();
                let key = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
                format!("{input}.{}", base64url(hmac::sign(&key, input.as_bytes())))
            }
            Some(Twist::UnknownKid) => {
                let header = json!({ "alg": self.key.algorithm(), "kid": "nobody's" });
                self.key.sign(&header, &claims)
            }
            Some(Twist::Signature) => {
                let signed = self.key.sign(&header, &json!({}));
                let signature = signed.rsplit('.').next().unwrap_or_default();
                format!("{}.{signature}", unsigned(&header, &claims))
            }
            _ => self.key.sign(&header, &claims),
        }
    }

    fn userinfo(&self, asked: &Asked) -> Reply {
        let Some(person) = self.bearer(asked) else {
            return json_of(401, &json!({ "error": "invalid_token" }));
        };
        let subject = match self.twist {
            Some(Twist::OthersUserinfo) => "somebody else",
            _ => &person.subject,
        };
        let answer = json!({
            "sub": subject, "email": person.email, "email_verified": person.email_verified,
        });
        json_of(200, &answer)
    }

    /// As GitHub does it: 200 to everything, and a form unless JSON was asked for.
    fn github_token(&mut self, asked: &Asked) -> Reply {
        self.tokens_asked.push(asked.form.clone());
        let wants_json = asked.headers.get("accept").is_some_and(|kind| kind == "application/json");
        let granted = if is_client(asked) { self.redeem(&asked.form) } else { None };
        let answer = match granted {
            Some(grant) => {
                let access = self.fresh("gho");
                self.tokens.insert(access.clone(), grant.person);
                json!({ "access_token": access, "token_type": "bearer", "scope": "user:email" })
            }
            None => json!({
                "error": "bad_verification_code",
                "error_description": "The code passed is incorrect or expired.",
            }),
        };
        if wants_json {
            return json_of(200, &answer);
        }
        let pairs = answer.as_object().into_iter().flatten();
        let pairs = pairs.map(|(name, value)| (name, value.as_str().unwrap_or_default()));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        full(200, "application/x-www-form-urlencoded", body)
    }

    fn github_user(&self, asked: &Asked) -> Reply {
        if !asked.headers.contains_key("user-agent") {
            let message = "Request forbidden by administrative rules.";
            return json_of(403, &json!({ "message": message }));
        }
        let Some(person) = self.bearer(asked) else {
            return json_of(401, &json!({ "message": "Bad credentials" }));
        };
        // The public address is whatever somebody wrote into their profile.
        let answer = json!({
            "id": person.number, "login": person.login, "name": person.name,
            "email": "whoever@example.com",
        });
        json_of(200, &answer)
    }

    fn github_emails(&self, asked: &Asked) -> Reply {
        let Some(person) = self.bearer(asked) else {
            return json_of(401, &json!({ "message": "Bad credentials" }));
        };
        let mut addresses =
            vec![json!({ "email": "old@example.com", "primary": false, "verified": true })];
        if let Some(email) = &person.email {
            addresses.push(json!({
                "email": email, "primary": true, "verified": person.email_verified,
                "visibility": "private",
            }));
        }
        json_of(200, &Value::Array(addresses))
    }

    fn bearer(&self, asked: &Asked) -> Option<&Person> {
        self.tokens.get(asked.headers.get("authorization")?.strip_prefix("Bearer ")?)
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.given += 1;
        format!("{kind}-{}-of-the-test-provider", self.given)
    }
}

/// Whether our client asks, in the header or in the form.
fn is_client(asked: &Asked) -> bool {
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
    let field = |name: &str| asked.form.get(name).map(String::as_str);
    match asked.headers.get("authorization") {
        Some(value) => *value == basic,
        None => {
            field("client_id") == Some(CLIENT_ID) && field("client_secret") == Some(CLIENT_SECRET)
        }
    }
}

fn faulty(fault: Fault, url: &str) -> Reply {
    match fault {
        Fault::Status(status) => json_of(status, &json!({ "error": "server_error" })),
        Fault::Html => full(200, "text/html", "<html><body>Back soon</body></html>".to_owned()),
        Fault::Hang => Reply::Hang,
        Fault::Close => Reply::Close,
        Fault::Huge(bytes) => {
            let padding = " ".repeat(bytes.saturating_sub(2));
            full(200, "application/json", format!("{{{padding}}}"))
        }
        Fault::Redirect => redirect(&format!("{url}/elsewhere")),
    }
}

fn json_of(status: u16, body: &Value) -> Reply {
    full(status, "application/json", body.to_string())
}

fn full(status: u16, kind: &'static str, body: String) -> Reply {
    Reply::Full { status, headers: Vec::new(), kind, body }
}

fn redirect(to: &str) -> Reply {
    let headers = vec![("Location".to_owned(), to.to_owned())];
    Reply::Full { status: 302, headers, kind: "text/plain", body: String::new() }
}
