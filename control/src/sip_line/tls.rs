//! Certificates of the SIP listeners and trust of connections of ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sip::net::TlsSettings;

use crate::config::SipSection;

/// What is wrong with a certificate file.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}", path = path.display())]
pub(super) struct TlsError {
    /// The file.
    path: PathBuf,
    /// What is wrong.
    message: String,
}

/// Reads the files the section names. The process's TLS provider must be installed.
///
/// # Errors
/// [`TlsError`] naming the file.
pub(super) fn tls_settings(section: &SipSection) -> Result<TlsSettings, TlsError> {
    let server = match (&section.tls_certificate, &section.tls_key) {
        (Some(certificate), Some(key)) => Some(Arc::new(server(certificate, key)?)),
        _ => None,
    };
    let mut roots = RootCertStore::empty();
    match &section.tls_authorities {
        Some(path) => {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| wrong(path, &error))?;
            }
        }
        // A certificate of the system that cannot be read is one less that is trusted.
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsSettings {
        server,
        client: Arc::new(client),
    })
}

fn server(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| wrong(certificate, &error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(path, &error))?;
    if chain.is_empty() {
        return Err(wrong(path, &"holds no PEM certificate"));
    }
    Ok(chain)
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError {
        path: path.to_owned(),
        message: error.to_string(),
    }
}
