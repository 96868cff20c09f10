//! End-to-end stories.
mod inbox;
mod rp;
mod validity;
