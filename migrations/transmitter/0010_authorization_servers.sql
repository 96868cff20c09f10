-- A client that gets its tokens from an outside authorization server is bound to that server: no other may name it.
-- The set of methods only grows, so a process that does not know the new one works on (it finds no secret, and refuses).
alter table client
    drop constraint client_auth_method_check,
    add constraint client_auth_method_check
        check (auth_method in ('client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none', 'authorization_server')),
    add column authorization_server text check (authorization_server <> ''),
    add constraint client_authorization_server check ((auth_method = 'authorization_server') = (authorization_server is not null));
comment on column client.authorization_server is 'authorization_server: the issuer of the outside server whose tokens name this client (RFC 9068, RFC 7662).';
comment on column issuer.max_streams is 'How many streams a new client may have; null means as streams.max_streams says.';
