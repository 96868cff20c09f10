//! Stories about a new release: old processes work on while the schema is brought up to date, and may be started again.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{Connection as _, Executor as _, PgConnection};
use ssf_common::runtime::postgres;
use ssf_harness::TestCluster;
use ssf_transmitter::MIGRATOR;

/// A program that knows the first migrations only.
fn of_old(newest: i64) -> Migrator {
    Migrator::with_migrations(MIGRATOR.iter().filter(|migration| migration.version <= newest).cloned().collect())
}

#[tokio::test]
async fn an_old_program_starts_on_a_newer_schema_exactly_if_that_says_it_may() {
    let database = TestCluster::shared().await.scratch_database("rollout").await.unwrap();
    let pool = postgres::connect(database.options, SCHEMA, 2, "rollout").await.unwrap();
    let old = of_old(1);
    postgres::migrate(&pool, SCHEMA, &old).await.unwrap();
    postgres::migrate(&pool, SCHEMA, &MIGRATOR).await.unwrap();
    let migrations = "select count(*) from _sqlx_migrations";
    let before: i64 = sqlx::query_scalar(migrations).fetch_one(&pool).await.unwrap();
    postgres::migrate(&pool, SCHEMA, &old).await.unwrap();
    let after: i64 = sqlx::query_scalar(migrations).fetch_one(&pool).await.unwrap();
    assert_eq!(after, before, "and it leaves the schema as it is");
    sqlx::query("update schema_contract set oldest_program = 2").execute(&pool).await.unwrap();
    let refused = postgres::migrate(&pool, SCHEMA, &old).await.unwrap_err().to_string();
    assert!(refused.contains("start the newer program that made it"), "{refused}");
    postgres::migrate(&pool, SCHEMA, &of_old(2)).await.unwrap();
}

#[tokio::test]
async fn a_migration_gives_way_to_whoever_holds_a_lock_and_comes_back() {
    let database = TestCluster::shared().await.scratch_database("rollout").await.unwrap();
    let pool = postgres::connect(database.options.clone(), SCHEMA, 4, "rollout").await.unwrap();
    postgres::migrate(&pool, SCHEMA, &of_old(1)).await.unwrap();
    // a long transaction of an old process, which has read clients
    let mut old =
        PgConnection::connect_with(&database.options.clone().options([("search_path", SCHEMA)])).await.unwrap();
    let mut reading = old.begin().await.unwrap();
    reading.execute("lock table client in access share mode").await.unwrap();
    let migrating = tokio::spawn({
        let pool = pool.clone();
        async move { postgres::migrate(&pool, SCHEMA, &MIGRATOR).await }
    });
    let waits = "select exists (select from pg_locks l join pg_class c on c.oid = l.relation where c.relname = 'client'
                 and not l.granted and l.mode = 'AccessExclusiveLock')";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&pool).await.unwrap() {
        assert!(!migrating.is_finished(), "the migration went past the lock");
        tokio::task::yield_now().await;
    }
    // whoever comes now stands behind the migration, but not for longer than it stands there
    let others = pool.acquire().await.unwrap();
    let mut others = others.detach();
    others.execute("set statement_timeout = '10s'").await.unwrap();
    let clients: i64 = sqlx::query_scalar("select count(*) from client").fetch_one(&mut others).await.unwrap();
    assert_eq!(clients, 0);
    assert!(!migrating.is_finished());
    reading.rollback().await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), migrating).await.unwrap().unwrap().unwrap();
    let operators: i64 =
        sqlx::query_scalar("select count(*) from client where is_operator").fetch_one(&mut others).await.unwrap();
    assert_eq!(operators, 0, "the new column is there");
}

#[test]
fn a_migration_takes_nothing_away_unless_it_says_which_programs_that_ends() {
    let takes_away = ["drop table", "drop column", "rename", "set not null", "alter column"];
    for migration in MIGRATOR.iter().filter(|migration| migration.version > 1) {
        let sql = migration.sql.as_str().to_ascii_lowercase();
        let statements = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join(" ");
        let found: Vec<&str> = takes_away.into_iter().filter(|words| statements.contains(words)).collect();
        assert!(
            found.is_empty() || statements.contains("update schema_contract set oldest_program"),
            "migration {} has {found:?}: old processes may still be at work",
            migration.version
        );
    }
}

const SCHEMA: &str = "ssf_transmitter";
