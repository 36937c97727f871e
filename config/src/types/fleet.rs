//! How gateways and an admin API that run apart find each other.

use std::net::SocketAddr;

use kernel::secret::Secret;

use super::Endpoint;

/// How gateways and an admin API that run apart find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// What `doorward admin` needs.
    pub admin: Option<AdminHalf>,
    /// What `doorward gateway` needs.
    pub gateway: Option<GatewayHalf>,
}

/// Where gateways find the admin API.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminHalf {
    /// What gateways are known by; at least 32 bytes.
    pub token: Secret,
    /// The address for gateways.
    pub listen: SocketAddr,
    /// What it proves with who it is; `None`, in the clear, on loopback alone.
    pub proof: Option<Proof>,
}

/// What a server proves with who it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// Its certificate and those above it, in PEM.
    pub certificate: Secret,
    /// The private key, in PEM.
    pub private_key: Secret,
}

/// How a gateway reaches the admin API.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayHalf {
    /// What the admin API knows it by; at least 32 bytes.
    pub token: Secret,
    /// Scheme, host and port, without a final slash: `https`, or `http` on loopback alone.
    pub admin_url: String,
    /// The same, as it is connected to.
    pub admin: Endpoint,
    /// The certificates that vouch for it, in PEM; `None`: the system's.
    pub ca: Option<Secret>,
}
