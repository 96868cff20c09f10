-- What an operator sees of a receiver that acknowledges in its own way, and an index for the daily upkeep.
alter table stream_health add column odd_success_at timestamptz;
comment on column stream_health.odd_success_at is 'The last acknowledgement that came with another status than 202 (RFC 8935 §2.2). Null: none ever.';

create index event_rest_by_time on event_rest (recorded_at);
