//! The programs under test, as built beside the running one: for stories that need real processes, signals and crashes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// The program `ssf-transmitter`.
///
/// # Panics
/// If it is missing and cannot be built.
pub fn transmitter() -> PathBuf {
    program("ssf-transmitter")
}

/// The program `ssf-receiver`.
///
/// # Panics
/// If it is missing and cannot be built.
pub fn receiver() -> PathBuf {
    program("ssf-receiver")
}

/// The example of an IdP with a transmitter inside.
///
/// # Panics
/// If it is missing and cannot be built.
pub fn example_idp() -> PathBuf {
    program("examples/idp")
}

/// The example of an application behind the guard of its receiver.
///
/// # Panics
/// If it is missing and cannot be built.
pub fn example_relying_party() -> PathBuf {
    program("examples/relying_party")
}

/// A program of this workspace in the directory of the running one. Under cargo it is brought up to date once, so that
/// nobody measures or tests yesterday's; otherwise it is built only if it is not there.
fn program(name: &str) -> PathBuf {
    let path = beside_us().join(name);
    if std::env::var_os("CARGO").is_some() || !path.is_file() {
        BUILD.call_once(build);
    }
    assert!(path.is_file(), "{} is missing even after a build", path.display());
    path
}

/// `target/debug` or `target/release`; a test runs in `deps` below it.
fn beside_us() -> PathBuf {
    let us = std::env::current_exe().expect("a running program has a path");
    let directory = us.parent().expect("a program lies in a directory");
    if directory.ends_with("deps") { directory.parent().unwrap_or(directory).to_owned() } else { directory.to_owned() }
}

fn build() {
    let directory = beside_us();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--workspace", "--bins", "--examples"]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    cargo.env("SQLX_OFFLINE", "true");
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    if let Some(target) = directory.parent() {
        cargo.env("CARGO_TARGET_DIR", target);
    }
    let built = cargo.status().expect("cargo can be run");
    assert!(built.success(), "cargo build --workspace --bins --examples failed");
}

static BUILD: Once = Once::new();
