-- What the caseload page finds and sorts by stands in columns, and in one index: no row is read that is not drawn.
ALTER TABLE standing ADD COLUMN folded_name TEXT NOT NULL DEFAULT '';  -- the name in lower case: SQLite folds ASCII only
ALTER TABLE standing ADD COLUMN depression_score SMALLINT;             -- the latest score of the measure of depression
ALTER TABLE standing ADD COLUMN gad7_score SMALLINT;                   -- the latest GAD-7
ALTER TABLE standing ADD COLUMN next_contact_on DATE;                  -- the appointment; else when a contact is due
ALTER TABLE standing ADD COLUMN reviewed_on DATE;                      -- the last case review
UPDATE standing SET folded_name = LOWER(display_name);

-- Everybody in care is planned again once, by the sweep, so that they are there.
UPDATE patient SET reevaluate_on = '1970-01-01' WHERE has_care;

DROP INDEX standing_by_place;
CREATE INDEX standing_by_place ON standing (clinic_id, attention, waiting_since, (-COALESCE(latest_score, -1)), episode_id,
  latest_score, status, care_manager, at_target, open_safety, findings, folded_name, enrolled_on, depression_score, gad7_score,
  next_contact_on, reviewed_on);
