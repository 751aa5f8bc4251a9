-- What people set, here and for the scheduler's copy. `scope` is a project, or the owner's own id for all projects together.
create table gateway.budgets (
    owner uuid not null,
    scope uuid not null,
    monthly_usd numeric(14, 6) check (monthly_usd >= 0),
    version bigint not null default 1,
    primary key (owner, scope)
);
alter table gateway.budgets enable row level security;
alter table gateway.budgets force row level security;
create policy own_rows on gateway.budgets to async_code_gateway
    using (owner = (select gateway.current_owner())) with check (owner = (select gateway.current_owner()));
