-- Where a model key is sent, when not to its vendor's own API. The sealing binds it: a row whose address is changed opens nothing.
alter table gateway.credentials add column base_url text check (char_length(base_url) <= 300);
