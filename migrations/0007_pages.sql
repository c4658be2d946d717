-- The pages that come with the service.

-- The row of the caseload page, ready-made beside the standing; NULL until the patient is planned again.
ALTER TABLE standing ADD COLUMN line JSONB;

-- Everybody in care is planned again once, by the sweep, so that the rows are there.
UPDATE patient SET reevaluate_on = '1970-01-01' WHERE has_care;

-- Who is signed in to the pages. `id` is a hash of what the browser's cookie holds.
CREATE TABLE session (
  clinic_id     TEXT        NOT NULL,
  id            TEXT        NOT NULL,
  subject       TEXT        NOT NULL,
  role          TEXT        NOT NULL,
  name          TEXT        NOT NULL,             -- as shown in the corner of the page
  csrf          TEXT        NOT NULL,             -- what forms carry back
  created_at    TIMESTAMPTZ NOT NULL,
  seen_at       TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, id)
);
CREATE INDEX session_by_age ON session (clinic_id, seen_at);
