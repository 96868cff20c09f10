//! What an issuer's events leave behind: per subject key, registers that only move forward.
//!
//! [`authority`] says about whom an issuer may decide at all, [`effect`] what kind of effect an event has, [`decided`] at which time it counts, and [`registers`] holds what
//! is remembered and how two such memories merge. All of it is pure; the table `cutoff` is written by the inbox, in the
//! statement that claims the SET.

pub mod authority;
pub mod decided;
pub mod effect;
pub mod registers;

pub use authority::Withheld;
pub use decided::decided;
pub use effect::{Effect, effect_of};
pub use registers::{Cut, Registers, Standing};
