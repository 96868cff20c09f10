//! The promises of the private cluster, kept on a real one.

use std::path::PathBuf;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlStr};

use super::super::{MigrationError, connect, listen, migrate};
use super::*;
use crate::runtime::{Env, Shutdown, Wake};

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ssf-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_cluster_keeps_its_data_over_a_restart_has_one_owner_and_can_be_attached_to() {
    let scratch = Scratch::new("cluster");
    let options = ClusterOptions::new(&scratch.0);
    let cluster = Cluster::start(options.clone()).await.unwrap();
    assert_eq!(cluster.location(), scratch.0);
    cluster.ensure_database("kept").await.unwrap();
    cluster.ensure_database("kept").await.unwrap();
    let mut connection = PgConnection::connect(&cluster.url("kept")).await.unwrap();
    sqlx::raw_sql("create table t (n int); insert into t values (7)").execute(&mut connection).await.unwrap();
    let fsync: (String,) = sqlx::query_as("show fsync").fetch_one(&mut connection).await.unwrap();
    assert_eq!(fsync.0, "on");

    let refused = Cluster::start(options.clone()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("is in use by process {}", std::process::id())), "{refused}");

    let attached = Cluster::attach_or_start(options.clone()).await.unwrap();
    assert!(!attached.is_owner() && cluster.is_owner());
    assert_eq!(attached.server_pid(), cluster.server_pid());
    attached.stop().await;
    sqlx::query("select 1").execute(&mut connection).await.unwrap();
    cluster.stop().await;
    assert!(PgConnection::connect_with(&attached_options(&scratch)).await.is_err());

    let cluster = Cluster::attach_or_start(options).await.unwrap();
    assert!(cluster.is_owner());
    let mut connection = PgConnection::connect_with(&cluster.options("kept")).await.unwrap();
    let kept: (i32,) = sqlx::query_as("select n from t").fetch_one(&mut connection).await.unwrap();
    assert_eq!(kept.0, 7);
    migrations_and_notifications(&cluster).await;
    a_killed_server_comes_back(&cluster).await;
}

#[tokio::test]
async fn a_socket_that_lies_elsewhere_because_the_path_is_long_leaves_no_directory_behind() {
    let scratch = Scratch::new(&"long".repeat(25));
    let cluster = Cluster::start(ClusterOptions::new(&scratch.0)).await.unwrap();
    let options = cluster.options("postgres");
    let socket_dir = options.get_socket().unwrap().clone();
    assert!(socket_dir.is_dir() && !socket_dir.starts_with(&scratch.0), "{}", socket_dir.display());
    PgConnection::connect_with(&options).await.unwrap();
    cluster.stop().await;
    assert!(!socket_dir.exists(), "{}", socket_dir.display());

    let again = Cluster::start(ClusterOptions::new(&scratch.0)).await.unwrap();
    PgConnection::connect_with(&again.options("postgres")).await.unwrap();
    drop(again);
    assert!(!socket_dir.exists(), "{}", socket_dir.display());
}

fn attached_options(scratch: &Scratch) -> sqlx::postgres::PgConnectOptions {
    sqlx::postgres::PgConnectOptions::new_without_pgpass().socket(scratch.0.join("run")).username("postgres")
}

fn migrator(statements: &[&'static str]) -> Migrator {
    let migration = |(index, sql): (usize, &&'static str)| {
        let version = i64::try_from(index).unwrap() + 1;
        Migration::new(version, "step".into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations(statements.iter().enumerate().map(migration).collect())
}

async fn migrations_and_notifications(cluster: &Cluster) {
    let (old, new) = ("create table a (n int)", "create table b (n int)");
    let pool = connect(cluster.options("kept"), "party", 4, "test").await.unwrap();
    let (one, two) = (migrator(&[old, new]), migrator(&[old, new]));
    let (first, second) = tokio::join!(migrate(&pool, "party", &one), migrate(&pool, "party", &two));
    first.unwrap();
    second.unwrap();
    sqlx::query("select from a, b, party._sqlx_migrations").execute(&pool).await.unwrap();
    let older = migrate(&pool, "party", &migrator(&[old])).await.unwrap_err();
    assert!(matches!(older, MigrationError::Newer { version: 2, .. }), "{older}");
    let changed = migrate(&pool, "party", &migrator(&["create table c (n int)", new])).await.unwrap_err();
    assert!(matches!(changed, MigrationError::Changed { version: 1, .. }), "{changed}");

    let (wake, shutdown) = (Wake::new(), Shutdown::default());
    let connected = wake.register();
    let bells = vec![("door".to_owned(), wake.clone())];
    shutdown.spawn("listen", listen(pool.clone(), bells, shutdown.clone(), Env::system().random));
    connected.await;
    let rung = wake.register();
    sqlx::query("notify door").execute(&pool).await.unwrap();
    rung.await;
    let reconnected = wake.register();
    let others = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%'";
    sqlx::query(AssertSqlSafe(others)).execute(&pool).await.unwrap();
    reconnected.await;
    // Closing the party's pool does not wait for the listener.
    pool.close().await;
    shutdown.begin();
    shutdown.wait().await;
}

async fn a_killed_server_comes_back(cluster: &Cluster) {
    let first = cluster.server_pid().unwrap();
    super::postmaster::signal(first, rustix::process::Signal::KILL);
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        if cluster.server_pid().is_some_and(|pid| pid != first)
            && let Ok(mut connection) = PgConnection::connect_with(&cluster.options("kept")).await
        {
            sqlx::query("select 1").execute(&mut connection).await.unwrap();
            return;
        }
    }
}
