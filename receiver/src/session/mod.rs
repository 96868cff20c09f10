//! The sessions an application registered: who they belong to (as keys), and when they were asserted.
//!
//! [`assertion`] reads what an issuer asserted (OIDC, SAML, introspection), [`describe`] turns the application's words into keys and times, [`key`] derives the keys, [`record`] decides what a
//! second registration means, [`register`] carries it out, and `store` keeps the table `session`.

pub mod assertion;
pub mod describe;
pub mod key;
pub mod key_check;
pub mod record;
pub mod register;
pub mod store;

pub use assertion::{AssertionError, SamlAssertion};
pub use describe::{Described, Description, DescriptionError, Members};
pub use key::{Keyring, MAX_KEYS, SubjectKey, TooManyKeys};
pub use key_check::KeyCheckError;
pub use record::{Assertions, Binding, OriginMovedBack, Session, Sid};
pub use register::{RegisterError, Registered};
