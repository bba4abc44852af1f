-- How a call that we placed was taken by the other side.
ALTER TABLE calls ADD COLUMN dial_outcome TEXT;
ALTER TABLE calls ADD COLUMN dial_detail TEXT;
ALTER TABLE calls ADD COLUMN sip_status INTEGER;
ALTER TABLE calls ADD COLUMN q850_cause INTEGER;
ALTER TABLE calls ADD COLUMN variables TEXT;
