//! The signature algorithms that we speak.

use std::fmt;

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// ECDSA with P-256 and SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::HS256, Self::RS256, Self::PS256, Self::ES256, Self::EdDSA];

    /// Its name in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_has_the_name_that_headers_use_and_no_other() {
        let names = Algorithm::ALL.map(|algorithm| algorithm.to_string());
        assert_eq!(names, ["HS256", "RS256", "PS256", "ES256", "EdDSA"]);
        assert_eq!(Algorithm::ALL.map(|a| Algorithm::parse(a.as_str())), Algorithm::ALL.map(Some));
        for name in ["", "none", "hs256", "HS512", "ES256 ", "EDDSA"] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
    }
}
