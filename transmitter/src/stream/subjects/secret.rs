//! The secret that an issuer's subjects are digested with: made once, sealed at rest, kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::ExposeSecret as _;
use sqlx::PgConnection;
use ssf_common::runtime::Env;

use super::keys::Digester;
use super::store::list as store;
use crate::issuer::IssuerId;
use crate::keys::{SealError, SealingKey};

/// The secrets this process has read. Clones share them. A secret never changes, so none is read twice.
#[derive(Clone, Debug)]
pub(super) struct Secrets {
    sealing: SealingKey,
    known: Arc<RwLock<HashMap<IssuerId, Digester>>>,
}

impl Secrets {
    pub(super) fn new(sealing: SealingKey) -> Self {
        Self { sealing, known: Arc::default() }
    }

    /// The issuer's, if it was made: without one, no stream of the issuer lists a subject.
    pub(super) async fn find(
        &self,
        conn: &mut PgConnection,
        issuer: IssuerId,
    ) -> Result<Option<Digester>, SecretError> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&issuer) {
            return Ok(Some(known.clone()));
        }
        let Some(sealed) = store::secret(conn, issuer).await? else { return Ok(None) };
        let secret = self.sealing.open(&sealed, &place(issuer))?;
        let digester = Digester::new(secret.expose_secret().as_bytes());
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(issuer, digester.clone());
        Ok(Some(digester))
    }

    /// The issuer's, made if it is missing. `conn` must not be in a transaction: what is used must be there to stay.
    pub(super) async fn ensure(
        &self,
        conn: &mut PgConnection,
        issuer: IssuerId,
        env: &Env,
    ) -> Result<Digester, SecretError> {
        if let Some(found) = self.find(&mut *conn, issuer).await? {
            return Ok(found);
        }
        let sealed = self.sealing.seal(env.random.secret().as_bytes(), &place(issuer), &*env.random)?;
        store::insert_secret(&mut *conn, issuer, &sealed, env.now()).await?;
        // not ours if another process was faster
        Ok(self.find(conn, issuer).await?.ok_or(sqlx::Error::RowNotFound)?)
    }
}

/// Why an issuer's secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It does not open.
    #[error("the secret of an issuer's subjects cannot be used")]
    Seal(#[from] SealError),
    /// The database did not answer.
    #[error("the secret of an issuer's subjects could not be read")]
    Database(#[from] sqlx::Error),
}

fn place(issuer: IssuerId) -> String {
    format!("subject_secret:{issuer}")
}
