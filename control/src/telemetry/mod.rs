//! Logs and metrics.

pub mod metrics;
pub mod tracing;

/// Installs the process-wide TLS provider that every client here uses; the first one stays.
pub fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
