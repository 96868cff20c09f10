//! Several processes of one receiver on one database: each answers from its own memory, and none of them from less than
//! it says.

mod definition;
mod following;
mod processes;
mod restarts;
