-- Bulk has no window unless it is asked for; webhooks tell of many alarms at once; the account knows its own tables.

alter table promise add column bulk boolean not null default false;
comment on column promise.bulk is 'Whether the windows hold for the bulk lane too.';

alter table alarm_notice add column post_id uuid;
comment on column alarm_notice.post_id is 'The post it goes out with, with the same id each time it is tried; null before the first time.';
create index alarm_notice_of_post on alarm_notice (post_id) where post_id is not null;

-- As before, but for what is bulk.
create or replace function tally_settled() returns trigger language plpgsql as $$
begin
    insert into tally (stream_id, lane, batch_id, slot, waiting, acknowledged, refused, expired, discarded, last_at)
    select n.stream_id, n.lane, n.batch_id, date_bin('5 seconds', n.settled_at, 'epoch'), -count(*),
           count(*) filter (where n.outcome = 'acknowledged'), count(*) filter (where n.outcome = 'refused'),
           count(*) filter (where n.outcome = 'expired'), count(*) filter (where n.outcome = 'discarded'),
           max(n.settled_at)
      from settled n group by 1, 2, 3, 4;
    insert into breach as b (jti, issuer_id, stream_id, event_id, event_type, lane, window_ms, held, occurred_at, recorded_at, fanned_out_at,
           first_taken_at, sent_at, settled_at, outcome, found_at)
    select n.id, n.issuer_id, n.stream_id, n.event_id, n.event_type, n.lane, floor(extract(epoch from w.longest) * 1000), w.held, n.occurred_at,
           n.recorded_at, n.fanned_out_at, n.first_taken_at, n.sent_at, n.settled_at, n.outcome, n.settled_at
      from settled n cross join lateral (
               select case coalesce((select s.level from stream s where s.id = n.stream_id), p.level) when 'sl3' then p.sl3 else p.sl2 end as longest,
                      coalesce((select s.status = 'paused' from stream s where s.id = n.stream_id), false) as held
                 from promise p) w
     -- most need no look at their stream
     where n.settled_at - n.occurred_at > (select least(sl2, sl3) from promise)
       -- what was written down while it waited is brought up to date, whatever holds by now
       and (n.lane < 2 or (select p.bulk from promise p) or exists (select from breach o where o.jti = n.id))
       and n.settled_at - n.occurred_at > w.longest and n.event_type not like 'https://schemas.openid.net/secevent/ssf/%'
     order by n.id
        on conflict (jti) do update set settled_at = excluded.settled_at, outcome = excluded.outcome, sent_at = excluded.sent_at,
           first_taken_at = excluded.first_taken_at;
    return null;
end $$;

-- Whoever writes from another search path counts into the same tables. `from current`: the schema of this migration.
alter function tally_made() set search_path from current;
alter function tally_promoted() set search_path from current;
alter function tally_settled() set search_path from current;
alter function tally_taken_back() set search_path from current;
alter function tally_breached() set search_path from current;
alter function tally_fanned_out() set search_path from current;
