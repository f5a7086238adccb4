//! TLS 1.2 and 1.3, with rustls on `ring`: no library of the system, and built in seconds.
//!
//! Roots are Mozilla's, from the binary: the same on every machine, and in a container that has none. An operator adds his own
//! from a file, or takes his own alone.

use crate::SetupError;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::sync::Arc;

/// Whose certificates are believed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    own: Vec<CertificateDer<'static>>,
    only_own: bool,
}

impl Trust {
    /// Believes the authorities of a PEM file too.
    ///
    /// # Errors
    /// [`SetupError::Authority`], for a file without certificates.
    pub fn and(mut self, pem: &[u8]) -> Result<Self, SetupError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let read = read.map_err(|error| SetupError::Authority(error.to_string()))?;
        if read.is_empty() {
            return Err(SetupError::Authority("it holds none".to_owned()));
        }
        self.own.extend(read);
        Ok(self)
    }

    /// Believes the operator's authorities alone.
    #[must_use]
    pub const fn only_own(mut self) -> Self {
        self.only_own = true;
        self
    }

    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, SetupError> {
        let mut roots = RootCertStore::empty();
        if !self.only_own {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for certificate in &self.own {
            roots.add(certificate.clone()).map_err(|error| SetupError::Authority(error.to_string()))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| SetupError::Tls(error.to_string()))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
