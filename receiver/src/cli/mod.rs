//! The commands. Each reads the settings, does one thing, and says what it did on standard output; what went wrong goes
//! to standard error in one sentence with its cause.

mod ask;
mod break_glass;
mod command_line;
mod database;
mod effect;
mod facts;
mod forget;
mod interop;
mod managed_stream;
mod policy;
mod print;
mod report;
mod serve;
mod upstream;
mod withheld;

pub(crate) use command_line::CommandLine;
