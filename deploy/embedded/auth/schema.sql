-- The embedded auth server's own schema. It can be applied any number of times; the role's password is set by the provisioner.

do $$
begin
    if not exists (select from pg_roles where rolname = 'async_code_auth') then
        create role async_code_auth with login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    end if;
    execute format('grant connect on database %I to async_code_auth', current_database());
end
$$;

create schema if not exists embedded_auth;
revoke all on schema embedded_auth from public;
grant usage on schema embedded_auth to async_code_auth;

create table if not exists embedded_auth.users (
    id uuid primary key default gen_random_uuid(),
    email text not null check (email = lower(email) and length(email) between 3 and 254),
    password_hash text not null,
    user_metadata jsonb not null default '{}' check (jsonb_typeof(user_metadata) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    last_sign_in_at timestamptz
);
create unique index if not exists users_email on embedded_auth.users (email);

-- A session's refresh tokens are numbered and signed (refresh.py): the row knows the current number, and nothing that could be used.
create table if not exists embedded_auth.sessions (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references embedded_auth.users (id) on delete cascade,
    refresh_number bigint not null default 1,
    parent_reused boolean not null default false,
    signed_in_at timestamptz not null default now(),
    refreshed_at timestamptz not null default now()
);
create index if not exists sessions_user on embedded_auth.sessions (user_id);

grant select, insert, update, delete on embedded_auth.users, embedded_auth.sessions to async_code_auth;
