//! A certificate authority of a test's own: nobody trusts it who was not told to.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use crate::place::free_dir;

/// An authority whose root is known by its file alone.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: TempDir,
}

/// What a server proves with who it is: PEM, as servers take it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// Makes a root and its key.
    ///
    /// # Panics
    /// When the machine's directory for temporary files cannot be written to.
    #[expect(clippy::new_without_default, reason = "each is another, which no default is")]
    pub fn new() -> Self {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let dir = free_dir();
        // A name of its own: a certificate by another is of an unknown issuer then, not badly signed.
        root.distinguished_name.push(DnType::CommonName, dir.path().display().to_string());
        let key = KeyPair::generate().unwrap();
        let certificate = root.self_signed(&key).unwrap();
        fs::write(dir.path().join("root.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(root, key), dir }
    }

    /// The file with the root.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root.pem")
    }

    /// Certifies that a new key is that of the server at `names`, which are host names or addresses.
    ///
    /// # Panics
    /// When one of them is neither.
    pub fn certifies(&self, names: &[&str]) -> Identity {
        let names = names.iter().map(|name| (*name).to_owned());
        let mut server = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = server.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    /// How a server of this process speaks TLS.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Arc::new(server.unwrap())
    }

    /// Writes `server.crt` and `server.key` into `dir`.
    pub(crate) fn write_into(&self, dir: &Path) {
        fs::write(dir.join("server.crt"), &self.certificate).unwrap();
        fs::write(dir.join("server.key"), &self.key).unwrap();
    }
}
