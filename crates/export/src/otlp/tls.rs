use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::{ExportError, TlsConfig};

/// Largest file of certificates or of a key, in bytes.
const LARGEST: u64 = 16 << 20;

/// What `https` connections are made with. `h2` is offered for gRPC, else HTTP/1.1.
pub(super) fn client(config: &TlsConfig, h2: bool) -> Result<Arc<ClientConfig>, ExportError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| ExportError::TlsConfig(e.to_string()))?;
    let builder = if config.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAll(provider)))
    } else {
        let roots = Arc::new(roots(config.ca.as_deref())?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|e| ExportError::TlsConfig(e.to_string()))?;
        builder.with_webpki_verifier(verifier)
    };
    let mut out = match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|e| wrong(cert, format!("does not go with its key: {e}")))?,
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(ExportError::TlsConfig("`cert` and `key` go together".to_string())),
    };
    out.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(Arc::new(out))
}

/// For protocols without a name in ALPN.
pub(crate) fn plain(config: &TlsConfig) -> Result<Arc<ClientConfig>, ExportError> {
    let mut out = ClientConfig::clone(client(config, false)?.as_ref());
    out.alpn_protocols.clear();
    Ok(Arc::new(out))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, ExportError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for cert in certificates(path)? {
                roots.add(cert).map_err(|e| wrong(path, e.to_string()))?;
            }
        }
        None => {
            // One unreadable authority of many is no reason to trust none.
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let why = "no certificate authorities on this system: install ca-certificates or set `ca`";
                return Err(ExportError::TlsConfig(why.to_string()));
            }
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ExportError> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match list.map_err(|e| wrong(path, e.to_string()))? {
        list if list.is_empty() => Err(wrong(path, "holds no certificate in PEM form")),
        list => Ok(list),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ExportError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|e| wrong(path, e.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, ExportError> {
    telegen_config::read_file(path, LARGEST).map_err(|e| wrong(path, e.to_string()))
}

fn wrong(path: &Path, reason: impl Into<String>) -> ExportError {
    ExportError::Tls { path: path.to_path_buf(), reason: reason.into() }
}

/// `insecure_skip_verify`: any certificate will do; signatures are still checked.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
