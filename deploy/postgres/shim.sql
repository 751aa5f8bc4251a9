-- What Supabase's Postgres has and a vanilla one lacks, as far as our migrations and policies use it. Applied by
-- deploy/postgres/apply.py to a database of our own, never to Supabase; it can be applied any number of times.

do $$
declare
    wanted name;
begin
    foreach wanted in array array['anon', 'authenticated', 'service_role']::name[] loop
        if not exists (select from pg_roles where rolname = wanted) then
            execute format('create role %I with nologin noinherit', wanted);
        end if;
    end loop;
    -- Postgres lets everyone connect to every database and make temporary tables in it; here only the roles that are granted it.
    execute format('revoke all on database %I from public', current_database());
end
$$;

revoke all on schema public from public;

create schema if not exists auth;
grant usage on schema auth to public;

-- The claims of the caller's token. The gateway sets them per transaction; without them there is nobody.
create or replace function auth.jwt() returns jsonb language sql stable
as $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;

create or replace function auth.uid() returns uuid language sql stable
as $$ select nullif(auth.jwt() ->> 'sub', '')::uuid $$;

create or replace function auth.role() returns text language sql stable
as $$ select nullif(auth.jwt() ->> 'role', '') $$;
