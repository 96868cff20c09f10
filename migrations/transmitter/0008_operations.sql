-- Operating it: dead letters that can be inspected and sent again, and indexes for what the admin API lists.

-- ── Attempts ───────────────────────────────────────────────────────────────────────────────────────────────────────
alter table delivery
    add column attempt_log     jsonb check (jsonb_typeof(attempt_log) = 'array'),
    add column retained_since  timestamptz;
-- what was sent again may need an event older than the history
create index delivery_replayed on delivery (recorded_at) where retained_since is not null;
comment on column delivery.attempt_log is 'The last failed attempts, at most ten: {"at", "said"} each. Null until one fails.';
comment on column delivery.retained_since is 'Sent again from the dead letters: from when its retention counts. Null: from fanned_out_at.';

create function attempt_logged(log jsonb, at timestamptz, said text) returns jsonb language sql stable parallel safe
return case when jsonb_array_length(log) >= 10 then log - 0 else coalesce(log, '[]'::jsonb) end
       || jsonb_build_array(jsonb_build_object('at', to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'said', said));
comment on function attempt_logged is 'The attempts with one more; the oldest of more than ten goes.';

-- ── Dead letters ───────────────────────────────────────────────────────────────────────────────────────────────────
alter table dead_letter
    add column seq             bigint,
    add column first_taken_at  timestamptz,
    add column attempt_log     jsonb check (jsonb_typeof(attempt_log) = 'array');
comment on column dead_letter.seq is 'As in delivery: sent again, it takes its old place among what waits for its subject. Null in rows of an older program.';
comment on column dead_letter.first_taken_at is 'As in delivery: the SET''s timeline claim holds it.';
comment on column dead_letter.attempt_log is 'As in delivery: the failed attempts before the one that ended it.';

drop index dead_letter_of_stream;
create index dead_letter_of_stream on dead_letter (stream_id, died_at, id);
create index dead_letter_of_issuer on dead_letter (issuer_id, died_at, id);
create index dead_letter_of_subject on dead_letter (hashtextextended(subject::text, 0), died_at, id);

-- ── What the admin API lists ───────────────────────────────────────────────────────────────────────────────────────
create index stream_of_issuer on stream (issuer_id, id);
create index event_by_time on event (issuer_id, recorded_at, event_id);
create index event_by_txn on event (txn, recorded_at, event_id);
