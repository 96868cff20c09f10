//! Whether the root secret is the one that this database's keys were made with. With another one every look-up would find
//! nothing: revocations would be acknowledged and have no effect, and everybody would be active.

use sqlx::PgConnection;

use super::{Keyring, store};

/// The keys cannot be used on this database.
#[derive(Debug, thiserror::Error)]
pub enum KeyCheckError {
    /// Another root secret made what is stored here.
    #[error(
        "privacy.subject_key is not the one that this database was filled with: nothing stored would be found; restore the \
         key, or use an empty database"
    )]
    WrongKey,
    /// The database did not answer.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

/// Compares the keyring with the first that was used on this database; the first one of all is noted.
pub async fn check(db: &mut PgConnection, keyring: &Keyring) -> Result<(), KeyCheckError> {
    let ours = keyring.check_value();
    if store::first_check_value(db, &ours).await? == ours { Ok(()) } else { Err(KeyCheckError::WrongKey) }
}
