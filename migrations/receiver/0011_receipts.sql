-- How far the transmitters were told what is enforced here.
create table receipt_cursor (
    upstream_id uuid        primary key references upstream (id) on delete cascade,
    feed_seq    bigint      not null,
    jti         text        not null,
    told_at     timestamptz not null
);
comment on table receipt_cursor is 'Per upstream whose transmitter takes receipts: the last cut-off it was told of, in the order of commits. What comes after is told again if in doubt; it changes nothing there.';
comment on column receipt_cursor.upstream_id is 'Whose transmitter.';
comment on column receipt_cursor.feed_seq is 'The commit of the last cut-off it was told of.';
comment on column receipt_cursor.jti is 'Its SET: of one commit there may be several.';
comment on column receipt_cursor.told_at is 'When it was told, by our clock.';
-- Within one commit there may be several.
drop index enforcement_in_order;
create index enforcement_in_order on enforcement (upstream_id, feed_seq, jti) where is_first;
