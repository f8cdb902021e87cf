-- Where the bytes of an upload lie, in the words of the blob store; kept beside the offset, so that the
-- two are never apart, and changed by the one writer of the upload alone.
alter table uploads add column staging_state text;
