-- What receivers tell of their enforcement, beside the delivery it is about: it is kept as long as that, and no longer.
alter table delivery_history
    add column rp_received_at     timestamptz,
    add column rp_applied_at      timestamptz,
    add column rp_visible_at      timestamptz,
    add column rp_last_allowed_at timestamptz,
    add column rp_outcome         text,
    add column rp_told_at         timestamptz,
    add constraint delivery_history_receipt_is_whole check (
        num_nonnulls(rp_received_at, rp_applied_at, rp_outcome, rp_told_at) in (0, 4)
        and (rp_told_at is not null or num_nonnulls(rp_visible_at, rp_last_allowed_at) = 0)
    ),
    add constraint delivery_history_receipt_outcome check (rp_outcome in ('kept', 'breached'));
comment on column delivery_history.rp_received_at is 'Receiver''s clock, from its receipt: the SET had arrived. Null as long as it told nothing.';
comment on column delivery_history.rp_applied_at is 'Receiver''s clock: its effect was committed.';
comment on column delivery_history.rp_visible_at is 'Receiver''s clock: its last replica saw it; null if it does not tell.';
comment on column delivery_history.rp_last_allowed_at is 'Receiver''s clock: something that it cuts off was last allowed; null if nobody asked.';
comment on column delivery_history.rp_outcome is 'kept or breached: the receiver''s own judgement of its window.';
comment on column delivery_history.rp_told_at is 'Our clock: the receipt arrived.';
