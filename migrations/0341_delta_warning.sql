-- Why deltas of the image will save nothing, told when it is published.
alter table releases add column delta_warning text;
