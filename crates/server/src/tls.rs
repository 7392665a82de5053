//! HTTPS.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use telegen_config::read_file;
use tokio_rustls::TlsAcceptor;

use crate::ServerError;
use crate::settings::TlsSettings;

/// Largest file of certificates or of a key, in bytes.
const LARGEST: u64 = 16 << 20;

/// Reads certificate and key; offers these protocols (ALPN), the first one first.
pub fn acceptor(settings: &TlsSettings, protocols: &[&[u8]]) -> Result<TlsAcceptor, ServerError> {
    let wrong = |path: &Path, reason: String| ServerError::Tls { path: path.to_owned(), reason };
    let read = |path: &Path| read_file(path, LARGEST).map_err(|e| wrong(path, e.to_string()));
    let certs = CertificateDer::pem_slice_iter(&read(&settings.cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong(&settings.cert, e.to_string()))?;
    if certs.is_empty() {
        return Err(wrong(&settings.cert, "no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&settings.key)?)
        .map_err(|e| wrong(&settings.key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&settings.cert, e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(|e| wrong(&settings.cert, e.to_string()))?;
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
