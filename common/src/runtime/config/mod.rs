//! Settings in layers: compiled-in defaults < file < environment < command line, into one typed struct.
//!
//! A service keeps its defaults in `config.default.toml`, each key with a sentence, and its settings in structs with
//! `#[serde(deny_unknown_fields)]`; `main` calls [`load`]. A key nobody knows stops the start, and the error says which
//! key, where it was written, and what to do. [`Secret`] and [`Span`] are the two types that a setting needs beyond
//! serde's own; [`effective`] prints what is in force, secrets masked.

mod fault;
mod layers;
mod secret;
mod span;
mod windows;

pub use fault::ConfigError;
pub use layers::{Layers, effective, load};
pub use secret::{Secret, SecretError, resolve_secret};
pub use span::{NotASpan, Span};
pub use windows::{BindingClass, Level, LevelWindows, NotALevel, Windows, WindowsFault};
