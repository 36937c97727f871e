//! Others who say who somebody is: Google, GitHub, any OpenID Connect issuer.
//!
//! A provider is spoken to in three steps: the browser is sent to its authorization URL, comes back
//! with a code, and the code becomes what is [`Attested`]. Nothing here knows our own people, the
//! database, or HTTP as we serve it.
//!
//! Modules in reading order; each uses only those above it.

pub(crate) mod breaker;

pub(crate) mod remembered;

pub(crate) mod line;

pub(crate) mod flow;

pub(crate) mod attested;

pub(crate) mod messages;

pub(crate) mod discovery;

pub(crate) mod oidc;

pub(crate) mod github;

pub(crate) mod registry;
