-- What makes a message and a change of state one thing: written in the transaction that changes the state (outbox), remembered in the
-- transaction that acts on it (inbox). The code is shared/store.

-- A row stands here until the message is stored by NATS; the relay publishes in the order of `id` and then deletes.
create table gateway.outbox (
    id bigint generated always as identity primary key,
    stream text not null,
    subject text not null,
    message_id text not null,
    payload bytea not null,
    created_at timestamptz not null default now()
);

-- Every message a consumer has acted on. Rows outlive the dead-letter stream, so that a replayed message finds itself done.
create table gateway.inbox (
    consumer text not null,
    message_id text not null,
    at timestamptz not null default now(),
    primary key (consumer, message_id)
);
create index inbox_at on gateway.inbox using brin (at);

create table scheduler.outbox (
    id bigint generated always as identity primary key,
    stream text not null,
    subject text not null,
    message_id text not null,
    payload bytea not null,
    created_at timestamptz not null default now()
);

create table scheduler.inbox (
    consumer text not null,
    message_id text not null,
    at timestamptz not null default now(),
    primary key (consumer, message_id)
);
create index inbox_at on scheduler.inbox using brin (at);

-- These tables turn over completely: clean up after a few hundred rows, whatever the size of the table was.
alter table gateway.outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
alter table scheduler.outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

revoke update on gateway.outbox, gateway.inbox from async_code_gateway;
revoke update on scheduler.outbox, scheduler.inbox from async_code_scheduler;
