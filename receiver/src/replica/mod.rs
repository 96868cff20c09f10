//! Every process of the receiver holds all cut-offs in memory and answers from there; this is how they come in and stay
//! true. `validity` asks the [`Memory`]; the inbox waits for [`Replica::catch_up`] before a SET is acknowledged.
//!
//! [`cutoffs`] and [`sessions`] are what is held, pure; `follower` reads what is new; `visible` and `signs` tell others
//! when this process saw what. The workers are in [`workers`].

pub mod cutoffs;
mod door;
mod follower;
pub mod issuers;
pub mod memory;
pub mod sessions;
mod signs;
mod store;
mod visible;
pub mod workers;

pub use door::{Plan, Replica};
pub use issuers::Issuer;
pub use memory::{Facts, Memory};
pub use sessions::Known;
pub use workers::{FollowChanges, FollowFeed, SignsOfLife};
