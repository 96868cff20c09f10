//! TLS on accepted connections, with OpenSSL: a certificate from files, read again when they change ([`Tls`],
//! [`Reload`]), and for development a certificate authority of one's own ([`development`]).

mod development;
mod files;
mod reload;
#[cfg(test)]
mod tests;

pub use development::{DevelopmentError, DevelopmentFiles, development};
pub use files::{ClientCertificates, TlsError, TlsFiles};
pub use reload::{Reload, Tls};
