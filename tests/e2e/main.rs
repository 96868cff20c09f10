//! End-to-end stories.
mod inbox;
mod intake;
mod management;
mod rp;
mod validity;
