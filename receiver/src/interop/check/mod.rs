//! What each answer must be like, by the section that says so. Pure: an answer in, [`Findings`] out.
//!
//! | call | due | section |
//! |---|---|---|
//! | metadata | 200, and its members | SSF 1.0 §7.1, §7.2; CAEP interop §2.3 as warnings |
//! | create | 201 and the whole configuration | SSF 1.0 §8.1.1.1 |
//! | read, list | 200 and an object, an array | SSF 1.0 §8.1.1.2 |
//! | update, replace | 200 and the whole configuration, with what was sent; 202: not yet | SSF 1.0 §8.1.1.3, §8.1.1.4 |
//! | delete | 204, empty | SSF 1.0 §8.1.1.5 |
//! | status | 200 and the status; after a change the new one, or 202 | SSF 1.0 §8.1.2.1, §8.1.2.2 |
//! | add, remove subject | 200, 204, both empty | SSF 1.0 §8.1.3.2, §8.1.3.3 |
//! | verify | 204, empty | SSF 1.0 §8.1.4.2 |
//! | poll | 200, `sets` and `moreAvailable` | RFC 8936 §2.3 |

mod answer;
mod configuration;
mod members;
mod metadata;
mod polled;
mod status;

pub use answer::{add_subject, delete, remove_subject, verify};
pub use configuration::{Asked, create, list, read, replace, update};
pub use metadata::metadata;
pub(super) use polled::claims;
pub use polled::polled;
pub use status::{set_status, status};

#[cfg(test)]
mod tests;
