-- Budgets: what attempts have cost, what a month may cost, and what runs under way are promised of it.

-- One row per attempt of a run: what it tells of its cost counts once, however often it tells.
create table scheduler.spending (
    run_id uuid not null,
    fence bigint not null,
    owner uuid not null,
    project_id uuid not null,
    month date not null check (extract(day from month) = 1),
    usd numeric(14, 6) not null check (usd >= 0),
    heard_at timestamptz not null default now(),
    primary key (run_id, fence)
);
create index spending_of_month on scheduler.spending (owner, month, project_id) include (usd);
create index spending_heard on scheduler.spending using brin (heard_at) with (autosummarize = on);
comment on column scheduler.spending.month is 'the first day, UTC, of the month in which the attempt was last heard of';

-- A copy of what people set in the gateway, by version. The owner''s own budget stands under the owner''s id.
create table scheduler.budgets (
    owner uuid not null,
    project_id uuid not null,
    monthly_usd numeric(14, 6) check (monthly_usd >= 0),
    version bigint not null,
    set_at timestamptz not null default now(),
    primary key (owner, project_id)
);
comment on column scheduler.budgets.monthly_usd is 'null: the operator''s default';

alter table scheduler.tasks
    add column project_id uuid,
    add column promised_usd numeric(14, 6) not null default 0,
    add constraint nothing_is_promised_to_what_ended check (promised_usd = 0 or holds_slot);
create index tasks_at_a_budget on scheduler.tasks (owner) where state = 'awaiting_budget';
