//! Whose: one live process at a time owns a cluster. The lock is the kernel's, so it ends with its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};

use super::fault::ClusterError;
use super::place::Place;

/// The right to start and stop the server; given back when dropped.
#[derive(Debug)]
pub(super) struct Ownership {
    _locked: File,
}

impl Ownership {
    /// Takes the ownership. [`ClusterError::Owned`] names the process that holds it.
    pub(super) fn take(place: &Place) -> Result<Self, ClusterError> {
        let io = |what| ClusterError::io(what, &place.lock);
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(&place.lock).map_err(io("opening"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let owner = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(ClusterError::Owned { location: place.root.clone(), owner });
            }
            Err(TryLockError::Error(error)) => return Err(io("locking")(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(io("writing"))?;
        writeln!(file, "{}", std::process::id()).map_err(io("writing"))?;
        Ok(Self { _locked: file })
    }
}
