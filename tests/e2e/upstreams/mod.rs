//! Stories about any number of upstreams at once: how they let us in, what is accepted of each, how they come and go while
//! the service runs, how their streams heal, and which of several processes looks after them.

mod admin_door;
mod commands;
mod credentials;
mod healing;
mod managed;
pub(crate) mod pair;
mod profiles;
mod replicas;
mod silence;
