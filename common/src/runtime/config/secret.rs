//! Settings that must never be shown: given directly, or in a file of their own.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret setting: prints and serializes as `***`; one that is empty hides nothing, and serializes as it is.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret in plain text, for the one place that uses it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The secret for a client library.
    pub fn into_inner(self) -> SecretString {
        self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<SecretString> for Secret {
    fn from(text: SecretString) -> Self {
        Self(text)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.expose().is_empty() { "" } else { "***" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a secret text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned().into()))
            }

            // A secret of digits only arrives from the environment as a number.
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Secret, E> {
                Ok(Secret(number.to_string().into()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Secret, E> {
                Ok(Secret(number.to_string().into()))
            }

            fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<Secret, E> {
                Ok(Secret(truth.to_string().into()))
            }
        }

        // The visitor's own error would quote what it found.
        deserializer.deserialize_any(Text).map_err(|_| D::Error::custom("a secret must be a text in quotes"))
    }
}

/// A secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is given twice.
    #[error("{key} and {key}_file are both set; keep one of them")]
    Both {
        /// The setting.
        key: String,
    },
    /// It is given as an empty text.
    #[error("{key} is empty; give it a value or remove the key")]
    Empty {
        /// The setting.
        key: String,
    },
    /// Its file has nothing in it.
    #[error("{key}_file = {} holds nothing; write the secret into it", path.display())]
    EmptyFile {
        /// The setting, without `_file`.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// Its file cannot be read.
    #[error("{key}_file = {} cannot be read; check that it exists, is text and is readable for this user", path.display())]
    Unreadable {
        /// The setting, without `_file`.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The secret `key`, given directly or through `<key>_file`; the line end at the end of the file is not part of it.
pub fn resolve_secret(
    key: &str,
    direct: Option<&Secret>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, SecretError> {
    let key = key.to_owned();
    match (direct, file) {
        (Some(_), Some(_)) => Err(SecretError::Both { key }),
        (Some(secret), None) if secret.expose().is_empty() => Err(SecretError::Empty { key }),
        (Some(secret), None) => Ok(Some(secret.0.clone())),
        (None, Some(path)) => {
            let path = path.to_owned();
            let mut text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(source) => return Err(SecretError::Unreadable { key, path, source }),
            };
            while text.ends_with(['\n', '\r']) {
                text.pop();
            }
            if text.is_empty() { Err(SecretError::EmptyFile { key, path }) } else { Ok(Some(text.into())) }
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_from_a_file_loses_its_line_end_only() {
        let path = std::env::temp_dir().join(format!("ssf-secret-{}", std::process::id()));
        std::fs::write(&path, " with spaces \n").unwrap();
        let secret = resolve_secret("issuer.master_key", None, Some(&path)).unwrap().unwrap();
        assert_eq!(secret.expose_secret(), " with spaces ");
        std::fs::write(&path, "\n").unwrap();
        let error = resolve_secret("issuer.master_key", None, Some(&path)).unwrap_err();
        assert!(error.to_string().starts_with("issuer.master_key_file = "), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = resolve_secret("issuer.master_key", None, Some(&path)).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }

    #[test]
    fn a_secret_given_twice_is_refused() {
        let secret = Secret::from("x".to_owned());
        let error = resolve_secret("a.b", Some(&secret), Some(Path::new("/nowhere"))).unwrap_err();
        assert_eq!(error.to_string(), "a.b and a.b_file are both set; keep one of them");
    }

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""***""#);
        assert_eq!(serde_json::to_string(&Secret::from(String::new())).unwrap(), r#""""#, "not given");
        assert!(!format!("{secret:?}").contains("hunter2"));
        let error = serde_json::from_str::<Secret>(r#"["hunter2"]"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
