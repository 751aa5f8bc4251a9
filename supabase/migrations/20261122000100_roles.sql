-- One role and one schema per service that keeps state. A role is granted its own schema and nothing else; the schemas belong to
-- whoever applies the migrations, so that no service can change its own tables' rules and forced row-level security binds it.
-- Roles have no password here: whoever provisions the database sets it (deploy/postgres/apply.py). Without one nobody can sign in.

do $$
declare
    wanted name;
begin
    foreach wanted in array array['async_code_gateway', 'async_code_scheduler', 'async_code_audit', 'async_code_audit_reader']::name[] loop
        if not exists (select from pg_roles where rolname = wanted) then
            execute format('create role %I with login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls', wanted);
        end if;
        if exists (select from pg_roles where rolname = wanted
                   and (rolsuper or rolinherit or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls)) then
            raise exception 'role % exists with rights that no service may have', wanted;
        end if;
        execute format('grant connect on database %I to %I', current_database(), wanted);
    end loop;
end
$$;

create schema gateway;
create schema scheduler;
create schema audit;

revoke all on schema gateway, scheduler, audit from public;
revoke create on schema public from public;

grant usage on schema gateway to async_code_gateway;
grant usage on schema scheduler to async_code_scheduler;
grant usage on schema audit to async_code_audit, async_code_audit_reader;

-- What later migrations create in a schema is usable by its service without another grant.
alter default privileges in schema gateway grant select, insert, update, delete on tables to async_code_gateway;
alter default privileges in schema gateway grant usage, select on sequences to async_code_gateway;
alter default privileges in schema scheduler grant select, insert, update, delete on tables to async_code_scheduler;
alter default privileges in schema scheduler grant usage, select on sequences to async_code_scheduler;

-- The trail is append-only: its writer may add and read; readers read.
alter default privileges in schema audit grant select, insert on tables to async_code_audit;
alter default privileges in schema audit grant usage, select on sequences to async_code_audit;
alter default privileges in schema audit grant select on tables to async_code_audit_reader;
