-- Tokens of pipelines that have been exchanged, until they are over: one gets one key, whoever shows it again.
create table service_account_tokens (
  tenant_id text not null,
  service_account_id uuid not null,
  -- SHA-256 of what its issuer has signed.
  token_hash bytea not null,
  expires_at timestamptz not null,
  primary key (tenant_id, service_account_id, token_hash),
  foreign key (tenant_id, service_account_id) references service_accounts (tenant_id, id) on delete cascade
);
create index service_account_tokens_by_end on service_account_tokens (tenant_id, expires_at);
select vautn.isolate_tenants('service_account_tokens');
