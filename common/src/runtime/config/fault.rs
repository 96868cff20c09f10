//! What can be wrong with settings, in one sentence that names the key, where it was written, and what to do.

use std::fmt::Write as _;
use std::path::PathBuf;

use figment::error::{Actual, Kind};
use figment::{Figment, Metadata, Source};

use super::layers::Layers;

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named on the command line is not there.
    #[error("the settings file {} does not exist; correct the path or leave it out to use the defaults", path.display())]
    NoSuchFile {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("the settings file {} cannot be read; check that it is text and readable for this user", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A variable that is almost one of the service's.
    #[error(
        "the variable {variable} is not read; write {instead} instead (two underscores after the service and after each \
         section), or unset it"
    )]
    LostVariable {
        /// As it is written.
        variable: String,
        /// As it is probably meant.
        instead: String,
    },
    /// A key or a value is wrong; the sentence says which, where and what to do.
    #[error("{0}")]
    Setting(String),
    /// The settings cannot be shown as TOML: a fault of the program.
    #[error("the settings cannot be shown as TOML")]
    Print(#[source] toml::ser::Error),
}

impl ConfigError {
    /// The first fault that figment found, in our words.
    pub(super) fn of(error: figment::Error, figment: &Figment, layers: &Layers) -> Self {
        let mut path = error.path.clone();
        if let Kind::UnknownField(field, _) = &error.kind
            && path.last() != Some(field)
        {
            path.push(field.clone());
        }
        if let Kind::MissingField(field) = &error.kind {
            path.push(field.to_string());
        }
        let key = path.join(".");
        let metadata = figment.find_metadata(&key).or(error.metadata.as_ref());
        let origin = origin(metadata, &key, layers);
        Self::Setting(match error.kind {
            Kind::UnknownField(_, known) => {
                let mut text = format!("{key} ({origin}) is not a setting; remove it or correct its name");
                if !known.is_empty() {
                    let _ = write!(text, " (known here: {})", known.join(", "));
                }
                text
            }
            Kind::MissingField(_) => {
                format!("{key} has no value; set it in ssf-{}.toml or as {}", layers.name, variable(&key, layers))
            }
            Kind::InvalidType(found, expected) => {
                format!("{key} ({origin}) must be {}, not {}", in_words(&expected), kind_of(&found))
            }
            Kind::InvalidValue(_, expected) => format!("{key} ({origin}) must be {}", in_words(&expected)),
            Kind::UnknownVariant(found, known) => {
                format!("{key} ({origin}) is {found:?}; choose one of: {}", known.join(", "))
            }
            Kind::Message(message) if key.is_empty() => format!("{origin}: {}", one_line(&message)),
            Kind::Message(message) => format!("{key} ({origin}): {}", one_line(&message)),
            other => format!("{key} ({origin}): {}", one_line(&other.to_string())),
        })
    }
}

/// Where a key was written: a file, a variable, the command line.
fn origin(metadata: Option<&Metadata>, key: &str, layers: &Layers) -> String {
    match metadata {
        Some(Metadata { source: Some(Source::File(path)), .. }) => format!("in {}", path.display()),
        Some(Metadata { name, .. }) if name == "environment" => format!("from the variable {}", variable(key, layers)),
        Some(Metadata { name, .. }) if name == "command line" => "on the command line".to_owned(),
        Some(Metadata { name, .. }) => format!("in {name}"),
        None => "in the settings".to_owned(),
    }
}

fn variable(key: &str, layers: &Layers) -> String {
    format!("{}{}", layers.prefix(), key.to_uppercase().replace('.', "__"))
}

/// Rust's names of numbers in everybody's words.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 upwards",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "a section",
        other => other,
    }
}

/// The kind of a value without the value, which might be a secret.
fn kind_of(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a whole number",
        Actual::Float(_) => "a number with a fraction",
        Actual::Char(_) | Actual::Str(_) => "a text",
        Actual::Seq => "a list",
        Actual::Map => "a section",
        _ => "what is written there",
    }
}

/// TOML errors are drawn over several lines; a log line has one.
fn one_line(message: &str) -> String {
    message.split_whitespace().filter(|word| !word.chars().all(|c| c == '|' || c == '^')).collect::<Vec<_>>().join(" ")
}
