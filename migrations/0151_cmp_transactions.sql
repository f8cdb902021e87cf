-- What a CMP client confirms is the hash of its certificate, by the algorithm that signed it.
alter table cmp_transactions add column certificate_der bytea;
