//! For development only: a certificate authority of one's own and a certificate for this machine, made once and kept.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};

use crate::clock::Timestamp;
use crate::random::Random;

/// Where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevelopmentFiles {
    /// The authority's certificate: what clients must be told to trust.
    pub authority: PathBuf,
    /// The certificate that is served.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// They cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// A file cannot be written or read.
    #[error("{} cannot be used for development certificates", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// OpenSSL refuses.
    #[error("OpenSSL could not make certificates for development")]
    OpenSsl(#[from] ErrorStack),
}

/// The files below `directory`: the authority is made once and kept, so that it is trusted once; the certificate is for
/// localhost, 127.0.0.1, ::1 and `host`, and is made anew when it is not, or ends within a month.
pub fn development(
    directory: &Path,
    host: &str,
    now: Timestamp,
    random: &dyn Random,
) -> Result<DevelopmentFiles, DevelopmentError> {
    let at = |name: &str| directory.join(name);
    let files =
        DevelopmentFiles { authority: at("ca.pem"), certificate: at("localhost.pem"), key: at("localhost.key") };
    let ca_key = at("ca.key");
    std::fs::create_dir_all(directory).map_err(|source| file_error(directory, source))?;
    let authority = if let Some(authority) = kept(&files.authority, &ca_key, now)? {
        authority
    } else {
        let made = authority(now, random)?;
        write(&ca_key, &made.key.private_key_to_pem_pkcs8()?, PRIVATE)?;
        write(&files.authority, &made.certificate.to_pem()?, PUBLIC)?;
        made
    };
    let served = kept(&files.certificate, &files.key, now)?;
    if served.is_none_or(|served| !served.is_for(host) || !served.is_of(&authority)) {
        let made = leaf(&authority, host, now, random)?;
        write(&files.key, &made.key.private_key_to_pem_pkcs8()?, PRIVATE)?;
        write(&files.certificate, &made.certificate.to_pem()?, PUBLIC)?;
    }
    Ok(files)
}

struct Pair {
    certificate: X509,
    key: PKey<Private>,
}

impl Pair {
    fn is_for(&self, host: &str) -> bool {
        let names = self.certificate.subject_alt_names();
        let address = host.parse::<IpAddr>().ok().map(octets);
        names.into_iter().flatten().any(|name| match &address {
            Some(octets) => name.ipaddress() == Some(octets.as_slice()),
            None => name.dnsname().is_some_and(|name| name.eq_ignore_ascii_case(host)),
        })
    }

    fn is_of(&self, authority: &Self) -> bool {
        self.certificate.verify(&authority.key).unwrap_or(false)
    }
}

/// What was made earlier, if it is whole and good for a month to come.
fn kept(certificate: &Path, key: &Path, now: Timestamp) -> Result<Option<Pair>, DevelopmentError> {
    if !certificate.exists() || !key.exists() {
        return Ok(None);
    }
    let read = |path: &Path| std::fs::read(path).map_err(|source| file_error(path, source));
    let (certificate, key) = (X509::from_pem(&read(certificate)?), PKey::private_key_from_pem(&read(key)?));
    let (Ok(certificate), Ok(key)) = (certificate, key) else { return Ok(None) };
    let in_a_month = Asn1Time::from_unix(now.unix_seconds() + 30 * DAY)?;
    let is_good = *certificate.not_after() > in_a_month && certificate.public_key()?.public_eq(&key);
    Ok(is_good.then_some(Pair { certificate, key }))
}

fn authority(now: Timestamp, random: &dyn Random) -> Result<Pair, ErrorStack> {
    let name = name("ssf development authority of this machine")?;
    let (mut builder, key) = certificate(&name, now, 3650, random)?;
    builder.set_issuer_name(&name)?;
    builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(Pair { certificate: builder.build(), key })
}

fn leaf(authority: &Pair, host: &str, now: Timestamp, random: &dyn Random) -> Result<Pair, ErrorStack> {
    // longer ones are refused by some clients
    let (mut builder, key) = certificate(&name("localhost")?, now, 397, random)?;
    builder.set_issuer_name(authority.certificate.subject_name())?;
    let mut names = SubjectAlternativeName::new();
    names.dns("localhost").ip("127.0.0.1").ip("::1");
    if host.parse::<IpAddr>().is_ok() {
        names.ip(host);
    } else {
        names.dns(host);
    }
    let names = names.build(&builder.x509v3_context(Some(&authority.certificate), None))?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().client_auth().build()?)?;
    builder.append_extension(names)?;
    builder.sign(&authority.key, MessageDigest::sha256())?;
    Ok(Pair { certificate: builder.build(), key })
}

fn certificate(
    name: &X509Name,
    now: Timestamp,
    days: i64,
    random: &dyn Random,
) -> Result<(X509Builder, PKey<Private>), ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut serial = [0; 16];
    random.fill(&mut serial);
    serial[0] &= 0x7f;
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*BigNum::from_slice(&serial)?.to_asn1_integer()?)?;
    builder.set_subject_name(name)?;
    builder.set_pubkey(&key)?;
    // clocks of one machine's containers may differ a little
    builder.set_not_before(&*Asn1Time::from_unix(now.unix_seconds() - 3600)?)?;
    builder.set_not_after(&*Asn1Time::from_unix(now.unix_seconds() + days * DAY)?)?;
    Ok((builder, key))
}

fn name(common: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, common)?;
    Ok(name.build())
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Whole or not at all, and readable for whom it may be.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), DevelopmentError> {
    let write = || -> std::io::Result<()> {
        let mut whole = path.as_os_str().to_owned();
        whole.push(".new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&whole)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(whole, path)
    };
    write().map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> DevelopmentError {
    DevelopmentError::File { path: path.to_owned(), source }
}

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
const DAY: i64 = 24 * 3600;
