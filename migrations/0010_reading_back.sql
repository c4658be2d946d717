-- Reading back: what the chart holds of what was written there, as it was seen last.

ALTER TABLE delivery ADD COLUMN chart_status TEXT;              -- its status in the chart; 'deleted' where it is gone
ALTER TABLE delivery ADD COLUMN chart_seen_at TIMESTAMPTZ;      -- when, by our clock
ALTER TABLE delivery ADD COLUMN chart_version TEXT;             -- the version that was seen; NULL since we wrote a later one
ALTER TABLE delivery ADD COLUMN chart_updated_at TIMESTAMPTZ;   -- when that version, or one before ours, was made, by the server's clock
ALTER TABLE delivery ADD COLUMN written_version TEXT;           -- the version that our last write made, or found as wanted
ALTER TABLE delivery ADD COLUMN drift TEXT
  CHECK (drift IN ('closed_by_person', 'changed_by_person', 'deleted', 'ours_lost', 'names_another_patient'));
ALTER TABLE delivery ADD COLUMN heals INTEGER NOT NULL DEFAULT 0; -- how often what was lost was written again, since the intent changed last

CREATE INDEX delivery_by_chart_id ON delivery (clinic_id, chart_id) WHERE chart_id IS NOT NULL;
CREATE INDEX delivery_by_drift ON delivery (clinic_id, drift, id) WHERE drift IS NOT NULL;
