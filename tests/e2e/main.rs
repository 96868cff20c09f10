//! End-to-end stories.
mod inbox;
mod management;
mod rp;
mod validity;
