//! PostgreSQL: the pool, the migrations, the notifications, and a private cluster for those who bring no server.
