//! Issuers: in whose name decisions are made. Every row of the schema belongs to one.

pub(crate) mod store;

use ssf_common::id::IssuerUrl;
use ssf_common::uuid_id;

uuid_id! {
    /// An issuer's row.
    IssuerId;
}

/// An issuer as it is served here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its row.
    pub id: IssuerId,
    /// Its URL, byte for byte as in SETs.
    pub url: IssuerUrl,
}
