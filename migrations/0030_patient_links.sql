-- Merges that can be undone. A record of a person (a Patient of the chart, or a person of whom only a name is known) keeps
-- its row in `patient` when it is merged; `patient_link` holds why it is, and every row that moves with it remembers
-- whose it was.

-- One statement that two records are one person: `from_id` is used no more, `into_id` instead of it. A merge stands while
-- a statement does.
CREATE TABLE patient_link (
  clinic_id     TEXT        NOT NULL,
  source        TEXT        NOT NULL,             -- who says so: the Patient/123 that does, `key` (a shared name), `decision`
  from_id       UUID        NOT NULL,
  into_id       UUID        NOT NULL,
  stated_at     TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, source, from_id, into_id)
);
CREATE INDEX patient_link_by_record ON patient_link (clinic_id, from_id);
CREATE INDEX patient_by_merge ON patient (clinic_id, merged_into) WHERE merged_into IS NOT NULL;

-- The record that a row belonged to before it was merged; NULL for what arrived afterwards, or was never merged.
ALTER TABLE patient_key      ADD COLUMN origin_id UUID;
ALTER TABLE resource         ADD COLUMN origin_id UUID;
ALTER TABLE measurement      ADD COLUMN origin_id UUID;
ALTER TABLE observation_item ADD COLUMN origin_id UUID;
ALTER TABLE episode          ADD COLUMN origin_id UUID;
ALTER TABLE fact             ADD COLUMN origin_id UUID;
ALTER TABLE delivery         ADD COLUMN origin_id UUID;

-- A name that the person had once: it leads to them only while nobody carries it now.
ALTER TABLE patient_key ADD COLUMN former BOOLEAN NOT NULL DEFAULT FALSE;
