//! A private PostgreSQL cluster: the installed server, run by this program on a data directory of its own, reachable
//! over a unix socket only. For a first try, for tests, and for a receiver that shares its host with one application.
//!
//! [`Cluster::start`] owns the cluster for as long as the program lives; [`Cluster::attach_or_start`] is for a command
//! that may run beside it. The road inside: which server (`installation`), as whom (`account`), where (`place`), whose
//! (`ownership`), what runs there already (`postmaster`), and the thread that keeps it running (`supervisor`).
//!
//! What is promised: fsync stays on; nothing listens on TCP; the server ends with its owner, even by `kill -9`; Ctrl-C
//! reaches the program first; a second owner is refused; the data survive all of it. The server never runs as root.

mod account;
mod fault;
mod installation;
mod ownership;
mod place;
mod postmaster;
mod running;
mod supervisor;
#[cfg(test)]
mod tests;

pub use fault::ClusterError;
pub use running::{Cluster, ClusterOptions};
