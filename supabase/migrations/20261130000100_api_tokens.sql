-- API tokens: what machines use the API with, in their owner's name. Of the token itself there is its SHA-256 alone.
create table gateway.api_tokens (
    id uuid primary key,
    owner uuid not null,
    name text not null check (char_length(name) between 1 and 200),
    prefix text not null check (char_length(prefix) <= 8),
    digest bytea not null unique check (octet_length(digest) = 32),
    scopes text[] not null check (
        cardinality(scopes) > 0
        and scopes <@ array ['tasks:read', 'tasks:write', 'projects:read', 'projects:write', 'audit:read', 'admin']),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    ended_at timestamptz not null generated always as (least(expires_at, revoked_at)) stored,
    last_used_at timestamptz,
    refused_at timestamptz,
    refused_reason text check (refused_reason in ('expired', 'revoked', 'scope'))
);
create index api_tokens_by_owner on gateway.api_tokens (owner, created_at desc, id desc);
create index api_tokens_ended on gateway.api_tokens (ended_at);

alter table gateway.api_tokens enable row level security;
alter table gateway.api_tokens force row level security;
create policy own_rows on gateway.api_tokens to async_code_gateway
    using (owner = (select gateway.current_owner())) with check (owner = (select gateway.current_owner()));

-- A token is looked up before its owner is known: such a transaction claims a digest, and sees the one row that has it. It can change nothing.
create function gateway.claimed_token() returns bytea
    language sql stable parallel safe
    set search_path = ''
    as $$ select decode(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'api_token_digest', 'hex') $$;
create policy presented on gateway.api_tokens for select to async_code_gateway using (digest = (select gateway.claimed_token()));

-- Housekeeping, as for the other tables.
create policy pruned_seen on gateway.api_tokens for select to async_code_gateway
    using ((select gateway.prunes()) and ended_at < now() - interval '1 day');
create policy pruned on gateway.api_tokens for delete to async_code_gateway
    using ((select gateway.prunes()) and ended_at < now() - interval '1 day');

-- What may change: that it was used, refused, or revoked. Not whose it is, what it may do, or until when.
revoke update on gateway.api_tokens from async_code_gateway;
grant update (last_used_at, refused_at, refused_reason, revoked_at) on gateway.api_tokens to async_code_gateway;

-- Revoked is revoked.
create function gateway.keep_revoked() returns trigger
    language plpgsql
    set search_path = ''
    as $$
begin
    raise exception 'token % was revoked', old.id using errcode = 'integrity_constraint_violation';
end
$$;
create trigger keep_revoked before update of revoked_at on gateway.api_tokens for each row
    when (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at) execute function gateway.keep_revoked();
