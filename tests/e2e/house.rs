//! The house rules that a compiler does not know: who may import whom, where SQL stands, how long a file may be. Read
//! from the source, so that the picture in the docs cannot rot.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path below the root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// `transmitter/src/delivery/push.rs` is `delivery`; `transmitter/src/app.rs` is `app`.
    fn stage(&self) -> &str {
        let inside = self.path.split_once("/src/").map_or("", |(_, inside)| inside);
        inside.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// An example stands outside the crate: it uses it as an IdP would.
    fn is_example(&self) -> bool {
        self.path.contains("/examples/")
    }

    fn is_store(&self) -> bool {
        self.path.ends_with("/store.rs") || self.path.contains("/store/")
    }

    /// Its lines of code with their numbers; comments are left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Where one of these words stands in the code.
    fn has(&self, words: &[&str]) -> Vec<String> {
        let hits = self.code().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        hits.map(|(at, line)| format!("{}:{at}: {}", self.path, line.trim())).collect()
    }

    /// The stages that `crate::` names in its code.
    fn imports(&self) -> Vec<String> {
        let code = self.code().map(|(_, line)| line).collect::<Vec<_>>().join("\n");
        let mut stages = Vec::new();
        for (at, _) in code.match_indices("crate::").filter(|(at, _)| !code[..*at].ends_with('$')) {
            let rest = &code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => stages.extend(members(group)),
                None => stages.push(identifier(rest)),
            }
        }
        stages
    }
}

/// The first names of a group of imports, whose opening brace was read already.
fn members(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            c if depth == 0 => names.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    names.iter().map(|name| identifier(name.trim())).filter(|name| !name.is_empty()).collect()
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_point_left_along_the_road_that_each_crate_documents() {
    for party in ["common", "transmitter", "receiver"] {
        let road = road(party);
        let place = |stage: &str| road.iter().position(|name| name == stage);
        let mut wrong = Vec::new();
        for source in sources(&[party]) {
            let stage = source.stage();
            // lib.rs shows everything, main.rs and its command line stand on the library, runtime has a rule of its own
            if source.is_example() || ["lib", "main", "cli", "runtime"].contains(&stage) {
                continue;
            }
            let Some(here) = place(stage) else {
                wrong.push(format!("{}: `{stage}` is not on the road of {party}/src/lib.rs", source.path));
                continue;
            };
            for name in source.imports().iter().filter(|name| *name != stage && is_module(party, name)) {
                if place(name).is_none_or(|there| there >= here) {
                    wrong.push(format!("{}: `{stage}` imports `{name}`", source.path));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn the_runtime_knows_nothing_of_sets() {
    let may = ["runtime", "backoff", "clock", "random", "id"];
    let sources = sources(&["common"]);
    let runtime = sources.iter().filter(|source| source.stage() == "runtime");
    let wrong: Vec<String> = runtime
        .flat_map(|source| source.imports().into_iter().map(move |name| format!("{}: {name}", source.path)))
        .filter(|import| !may.iter().any(|name| import.ends_with(&format!(": {name}"))))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn both_parties_stand_on_common_and_never_see_each_other() {
    let never = [
        ("common", &["ssf_transmitter::", "ssf_receiver::", "ssf_harness::"][..]),
        ("transmitter", &["ssf_receiver::", "ssf_harness::"]),
        ("receiver", &["ssf_transmitter::", "ssf_harness::"]),
    ];
    for (party, others) in never {
        let wrong: Vec<String> = sources(&[party]).iter().flat_map(|source| source.has(others)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let manifest = fs::read_to_string(root().join(party).join("Cargo.toml")).unwrap();
        for other in others {
            let package = other.trim_end_matches(':').replace('_', "-");
            assert!(!manifest.contains(&format!("{package}.")), "{party} depends on {package}");
        }
    }
}

#[test]
fn sql_stands_in_stores_only() {
    let words = [
        "query!(",
        "query_as!(",
        "query_scalar!(",
        "sqlx::query(",
        "sqlx::query_as(",
        "sqlx::query_scalar(",
        "sqlx::raw_sql(",
    ];
    let outside: Vec<String> = sources(&["common", "transmitter", "receiver"])
        .iter()
        .filter(|source| {
            !source.is_store() && !source.is_example() && !source.path.starts_with("common/src/runtime/postgres/")
        })
        .flat_map(|source| source.has(&words))
        .collect();
    assert!(outside.is_empty(), "{outside:#?}");
}

#[test]
fn every_file_says_first_who_it_is() {
    let silent: Vec<String> =
        sources(&ALL).into_iter().filter(|source| !source.text.starts_with("//! ")).map(|source| source.path).collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn a_file_is_short_enough_to_be_read() {
    let long: Vec<String> = sources(&ALL)
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > 400)
        .map(|(source, lines)| format!("{} has {lines} lines of 400", source.path))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_silenced_left_undone_or_switched_off() {
    // in two halves, so that this file does not find itself
    let words = [
        concat!("#[al", "low("),
        concat!("#![al", "low("),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ign", "ore"),
    ];
    let found: Vec<String> = sources(&ALL).iter().flat_map(|source| source.has(&words)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn time_comes_from_a_clock() {
    // what the process itself takes long for may be measured: waiting for PostgreSQL, and for the answer to a long poll
    let may_measure = ["common/src/runtime/postgres/cluster/", "receiver/src/doors/poll.rs"];
    let sources = sources(&["common", "transmitter", "receiver"]);
    let measures = sources
        .iter()
        .filter(|source| !may_measure.iter().any(|place| source.path.starts_with(place)))
        .flat_map(|source| source.has(&["Instant::now", "time::Instant"]));
    let reads = sources
        .iter()
        .filter(|source| source.path != "common/src/clock.rs")
        .flat_map(|source| source.has(&["SystemTime", "now_utc", "Utc::now"]));
    let wrong: Vec<String> = measures.chain(reads).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn josekit_is_called_where_keys_live_and_nowhere_else() {
    let elsewhere: Vec<String> = sources(&["common", "transmitter", "receiver"])
        .iter()
        .filter(|source| !source.path.starts_with("common/src/jwks/"))
        .flat_map(|source| source.has(&["josekit"]))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

#[test]
fn the_top_of_the_repository_holds_what_belongs_there() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "transmitter",
        "receiver",
        "common",
        "migrations",
        "tests",
        "docs",
        "README.md",
        "ARCHITECTURE.md",
        "Makefile",
        "deny.toml",
        "clippy.toml",
        "rustfmt.toml",
        ".sqlx",
        ".ci",
        ".gitignore",
        ".git",
        "target",
        "data",
        "LICENSE",
    ];
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strange: Vec<String> = entries.filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

/// The stages of a crate from left to right, as the docs of its lib.rs draw them.
fn road(party: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(party).join("src/lib.rs")).unwrap();
    let docs: String = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let (_, drawn) = docs.split_once("pointing left:").expect("lib.rs draws the road");
    let end = drawn.find(". ").into_iter().chain(drawn.find("; ")).min().unwrap_or(drawn.len());
    let names: Vec<String> = drawn[..end].split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
    assert!(names.len() > 5, "the road of {party}: {names:?}");
    names
}

/// Whether `name` is a module of the crate, not a macro or a type at its top.
fn is_module(party: &str, name: &str) -> bool {
    let src = root().join(party).join("src");
    src.join(name).is_dir() || src.join(format!("{name}.rs")).is_file()
}

/// Every Rust file below these folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text });
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

const ALL: [&str; 4] = ["common", "transmitter", "receiver", "tests"];
