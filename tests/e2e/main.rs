//! End-to-end stories.
mod delivery;
mod inbox;
mod intake;
mod management;
mod order;
mod polling;
mod rp;
mod schema;
mod validity;
