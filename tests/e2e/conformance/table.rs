//! ARCHITECTURE.md §10 says by which tests each row of the specification is shown. This keeps it honest: every test it
//! names exists, and every test of these files is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_row_of_the_conformance_table_names_tests_that_exist() {
    let mut wrong = Vec::new();
    let rows = rows();
    assert!(rows.len() > 60, "only {} rows", rows.len());
    for (row, tests) in &rows {
        if tests.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        wrong.extend(tests.iter().filter(|test| !exists(test)).map(|test| format!("{test} does not exist: {row}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_conformance_test_stands_in_the_table() {
    let named: BTreeSet<String> = rows().into_iter().flat_map(|(_, tests)| tests).collect();
    let folder = e2e().join("conformance");
    let mut missing = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let tests = tests_of(&fs::read_to_string(&path).unwrap());
        let paths = tests.into_iter().map(|test| format!("conformance::{module}::{test}"));
        // the modules of the test plans bear their own names, and the table's guard needs no guard
        missing.extend(paths.filter(|path| !named.contains(path) && !path.contains("::openid_") && module != "table"));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The rows of the tables in §10: what stands first, and the tests named in the last cell.
fn rows() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(e2e().join("../../ARCHITECTURE.md")).unwrap();
    let (_, section) =
        text.split_once("\n## 10. Conformance\n").expect("ARCHITECTURE.md has a section 10, Conformance");
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    let lines = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| row |"));
    let rows = lines.map(cells).map(|cells| {
        let tests = cells.last().unwrap().split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
        (cells[0].clone(), tests)
    });
    rows.collect()
}

/// Whether `file::test` or `folder::file::test` is a test below `tests/e2e`.
fn exists(path: &str) -> bool {
    let Some((module, test)) = path.rsplit_once("::") else { return false };
    let file = e2e().join(module.replace("::", "/")).with_extension("rs");
    let file = if file.is_file() { file } else { e2e().join(module.replace("::", "/")).join("mod.rs") };
    fs::read_to_string(file).is_ok_and(|text| tests_of(&text).contains(&test.to_owned()))
}

/// The names of the functions below a test attribute.
fn tests_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            names.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            is_test = false;
        }
    }
    names
}

fn e2e() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e")
}
