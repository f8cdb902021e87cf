-- A key may do what its role may and its scopes name; without scopes, all that its role may.
alter table api_keys add column scopes text[]
  check (scopes is null or cardinality(scopes) between 1 and 64);
