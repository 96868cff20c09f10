//! Stories about the two schemas: they explain themselves, the record of checked queries is theirs, and they come up to
//! date by themselves.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Executor as _, PgPool, SqlSafeStr as _};
use ssf_common::runtime::postgres;
use ssf_harness::TestCluster;
use ssf_harness::idp::Idp;

/// Both parties' schemas as their migrations make them.
async fn both() -> [(&'static str, PgPool); 2] {
    let cluster = TestCluster::shared().await;
    let parties = [("ssf_transmitter", &ssf_transmitter::MIGRATOR), (ssf_receiver::SCHEMA, &ssf_receiver::MIGRATIONS)];
    let mut pools = Vec::new();
    for (schema, migrations) in parties {
        let database = cluster.scratch_database(schema).await.unwrap();
        let pool = postgres::connect(database.options, schema, 2, "schema").await.unwrap();
        postgres::migrate(&pool, schema, migrations).await.unwrap();
        pools.push((schema, pool));
    }
    pools.try_into().unwrap()
}

#[tokio::test]
async fn every_table_column_and_function_says_what_it_is() {
    for (schema, pool) in both().await {
        let silent: Vec<String> = sqlx::query_scalar(
            "select c.relname::text from pg_class c
              where c.relnamespace = current_schema::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
                and c.relname <> '_sqlx_migrations' and obj_description(c.oid, 'pg_class') is null
             union all
             select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
              where c.relnamespace = current_schema::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
                and c.relname <> '_sqlx_migrations' and a.attnum > 0 and not a.attisdropped
                and col_description(c.oid, a.attnum) is null
             union all
             select p.proname || '()' from pg_proc p
              where p.pronamespace = current_schema::regnamespace and obj_description(p.oid, 'pg_proc') is null",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        assert!(silent.is_empty(), "{schema} does not explain {silent:?}");
        let (tables,): (i64,) = sqlx::query_as("select count(*) from pg_tables where schemaname = current_schema")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert!(tables > 5, "{schema} is there");
    }
}

#[tokio::test]
async fn every_recorded_query_prepares_against_the_schema_it_was_checked_with() {
    let pools = both().await;
    let mut queries = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.sqlx")).unwrap() {
        let path = entry.unwrap().path();
        let recorded: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let query = recorded["query"].as_str().unwrap();
        let mut refusals = Vec::new();
        for (schema, pool) in &pools {
            let query = sqlx::AssertSqlSafe(query.to_owned()).into_sql_str();
            if let Err(error) = pool.prepare(query).await {
                refusals.push(format!("{schema}: {error}"));
            }
        }
        assert!(refusals.len() < pools.len(), "run `make sqlx`: {} is stale: {refusals:?}\n{query}", path.display());
        queries += 1;
    }
    assert!(queries > 30, "the record is there");
}

#[tokio::test]
async fn a_migrated_schema_is_left_as_it_is() {
    for (schema, pool) in both().await {
        let made = "select string_agg(oid::text, ' ' order by oid) from pg_class where relnamespace = current_schema::regnamespace";
        let before: String = sqlx::query_scalar(made).fetch_one(&pool).await.unwrap();
        let migrations =
            if schema == ssf_receiver::SCHEMA { &ssf_receiver::MIGRATIONS } else { &ssf_transmitter::MIGRATOR };
        let (one, two) =
            tokio::join!(postgres::migrate(&pool, schema, migrations), postgres::migrate(&pool, schema, migrations));
        one.and(two).unwrap();
        assert_eq!(sqlx::query_scalar::<_, String>(made).fetch_one(&pool).await.unwrap(), before);
    }
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused_and_left_alone() {
    for (schema, pool) in both().await {
        let migrations =
            if schema == ssf_receiver::SCHEMA { &ssf_receiver::MIGRATIONS } else { &ssf_transmitter::MIGRATOR };
        if schema == "ssf_transmitter" {
            pool.execute("update schema_contract set oldest_program = 9999").await.unwrap();
        }
        pool.execute("insert into _sqlx_migrations values (9999, 'newer', now(), true, '', 0)").await.unwrap();
        let refused = postgres::migrate(&pool, schema, migrations).await.unwrap_err().to_string();
        let says = format!(
            "schema {schema} holds migration 9999, which this program does not know; start the newer program that made it"
        );
        assert_eq!(refused, says);
        pool.execute(
            "update _sqlx_migrations set version = 1, checksum = 'changed' where version = 9999 or version = 1",
        )
        .await
        .unwrap_err();
        pool.execute("delete from _sqlx_migrations where version = 9999; update _sqlx_migrations set checksum = 'changed' where version = 1").await.unwrap();
        let refused = postgres::migrate(&pool, schema, migrations).await.unwrap_err().to_string();
        assert!(
            refused.starts_with(&format!("migration 1 in schema {schema} is not the one this program knows")),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn processes_that_start_together_agree_on_partitions_and_keys() {
    let idp = Idp::start().await;
    idp.advance(Duration::from_hours(24 * 60));
    tokio::join!(idp.twin(), idp.twin(), idp.twin());
    let missing = idp.count("select count(*) from generate_series(0, 7) d where to_regclass('event_' || to_char(date '2027-01-17' + d::int, 'YYYYMMDD')) is null");
    assert_eq!(missing.await, 0);
    assert_eq!(idp.count("select count(*) from signing_key").await, 1);
    assert_eq!(
        idp.count("select count(*) from pg_inherits where inhparent = 'event'::regclass").await,
        9,
        "the old ones are dropped"
    );
}
