//! Whose certificates are trusted: the machine's roots, or those of a bundle that was named.

use std::path::{Path, PathBuf};

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::failure::Failure;

/// Certificates of authorities in PEM, in a file. As with the AWS CLI, nobody else is trusted.
#[derive(Debug, Clone)]
pub struct Bundle(Vec<u8>);

impl Bundle {
    /// Reads and checks it. `named` says what names the file: a variable, or a profile's key.
    ///
    /// # Errors
    /// A [`Failure`] that names both.
    pub fn read(named: &str, file: &str) -> Result<Self, Failure> {
        let path = home(file);
        let failed = |why: &str| {
            let what = format!("{named} names {}, {why}", path.display());
            let hint = "name a file with the certificates in PEM of those whom your network \
                        trusts, or unset it to trust whom this machine does";
            Failure::refused(what).hint(hint)
        };
        let pem =
            std::fs::read(&path).map_err(|error| failed("which cannot be read").source(error))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates
            .map_err(|error| failed("which is not PEM throughout").source(error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("in which there is no certificate"));
        }
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| {
                failed(&format!("whose certificate number {} is none", index + 1)).source(error)
            })?;
        }
        Ok(Self(pem))
    }
}

/// `~/` is the home directory, which no shell has replaced in a profile.
fn home(file: &str) -> PathBuf {
    let own = file.strip_prefix("~/").zip(std::env::home_dir());
    own.map_or_else(|| Path::new(file).to_owned(), |(rest, home)| home.join(rest))
}

/// # Errors
/// The machine trusts nobody.
pub(super) fn context(bundle: Option<&Bundle>) -> Result<TlsContext, String> {
    let pem = match bundle {
        Some(Bundle(pem)) => pem.clone(),
        None => own_roots()?.into_bytes(),
    };
    let store = TrustStore::empty().with_pem_certificate(pem);
    TlsContext::builder().with_trust_store(store).build().map_err(|error| error.to_string())
}

/// The machine's. Those that are no certificates are left out: the SDK would panic.
fn own_roots() -> Result<String, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut pem = String::new();
    for certificate in found.certs {
        let encoded = STANDARD.encode(&certificate);
        if RootCertStore::empty().add(certificate).is_ok() {
            pem += "-----BEGIN CERTIFICATE-----\n";
            pem += &encoded;
            pem += "\n-----END CERTIFICATE-----\n";
        }
    }
    if pem.is_empty() {
        return Err("this machine has no certificates of authorities to trust: install them \
                    (often a package called ca-certificates), or name a file in AWS_CA_BUNDLE"
            .to_owned());
    }
    Ok(pem)
}
