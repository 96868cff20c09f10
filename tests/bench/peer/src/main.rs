//! `ssf-bench-peer CONFIG DATABASE LISTEN`: easyssf's receiver for axum, with its stores on PostgreSQL. The bench starts
//! it, pushes the SETs to it that it pushes to ours, and ends it.
//!
//! CONFIG is a TOML file of `easyssf.receiver` settings.

use std::error::Error;

use axum::serve::ListenerExt as _;
use easyssf_receiver::SsfReceiver;
use easyssf_receiver::config::SsfReceiverConfig;
use easyssf_receiver_axum::push_router_for;
use easyssf_receiver_sqlx::{SqlxSsfSqlOperations, SsfSqlStores};
use sqlx::postgres::PgPoolOptions;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, database, listen] = arguments.as_slice() else {
        return Err("usage: ssf-bench-peer CONFIG DATABASE LISTEN".into());
    };
    let config: SsfReceiverConfig = toml::from_str(&std::fs::read_to_string(config)?)?;
    // as many connections as our receiver may have
    let pool = PgPoolOptions::new().max_connections(20).connect(database).await?;
    let stores = SsfSqlStores::from_config(SqlxSsfSqlOperations::postgres(pool), &config);
    stores.prepare_tables().await?;
    let receiver = stores.apply(SsfReceiver::builder(config)).build()?;
    receiver.start();
    let listener = tokio::net::TcpListener::bind(listen).await?.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, push_router_for(&receiver)).await?;
    Ok(())
}
