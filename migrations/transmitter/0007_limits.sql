-- What is sent to one host at once is bounded, so the host stands beside the URL.

alter table stream
    add column endpoint_host text generated always as (
        regexp_replace(lower(substring(endpoint_url from '^[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)')), ':443$', '')
    ) stored;
comment on column stream.endpoint_host is 'Push: host and port of endpoint_url, in lower case: streams that share them share what may be sent there at once.';
