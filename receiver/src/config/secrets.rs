//! The service's own secrets: given, read from a file, or made once and kept under the data directory.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use ssf_common::random::Random;
use ssf_common::runtime::config::resolve_secret;

use super::settings::{Settings, SettingsError, wrong};

impl Settings {
    /// The token that opens `/v1`, if there is one.
    pub fn api_token(&self) -> Result<Option<SecretString>, SettingsError> {
        Ok(resolve_secret("api.token", self.api.token.as_ref(), self.api.token_file.as_deref())?)
    }

    /// The token that opens `/admin`, if there is one.
    pub fn admin_token(&self) -> Result<Option<SecretString>, SettingsError> {
        Ok(resolve_secret("admin.token", self.admin.token.as_ref(), self.admin.token_file.as_deref())?)
    }

    /// The root of all subject keys. With the private cluster it is made at the first start and kept beside it.
    /// It is the 32 bytes, however they are written.
    pub fn subject_key(&self, random: &dyn Random) -> Result<SecretSlice<u8>, SettingsError> {
        let (key, file) = (self.privacy.subject_key.as_ref(), self.privacy.subject_key_file.as_deref());
        let found = match resolve_secret(SUBJECT_KEY, key, file)? {
            Some(found) => found,
            None if self.is_embedded() => generated(&self.data_file("subject.key"), random)?,
            None => return wrong(SUBJECT_KEY, "is required with database.url"),
        };
        let text = found.expose_secret().trim().trim_end_matches('=');
        match decoded(text) {
            Some(bytes) if bytes.len() == 32 => Ok(bytes.into()),
            _ => wrong(SUBJECT_KEY, "must be 32 bytes in base64; make one with `openssl rand -base64 32`"),
        }
    }
}

/// The secret in the file, which is made if it is not there. Whoever makes it first wins.
fn generated(path: &Path, random: &dyn Random) -> Result<SecretString, SettingsError> {
    let failed = |source| SettingsError::Generated { key: SUBJECT_KEY, path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    // Written whole under another name first: a crash must not leave half a key, nor a second process read one.
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    if !path.exists() {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed)?;
        file.write_all(random.secret().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        match std::fs::hard_link(&draft, path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => std::fs::remove_file(&draft).map_err(failed)?,
        }
    }
    let kept = resolve_secret(SUBJECT_KEY, None, Some(path))?;
    kept.map_or_else(|| wrong(SUBJECT_KEY, "could not be read back"), Ok)
}

/// Either alphabet, without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let standard = GeneralPurpose::new(&base64::alphabet::STANDARD, NO_PAD);
    URL_SAFE_NO_PAD.decode(text).or_else(|_| standard.decode(text)).ok()
}

const SUBJECT_KEY: &str = "privacy.subject_key";
