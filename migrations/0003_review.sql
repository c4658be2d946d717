-- The closed loop: recommendations ready to list, weekly review sessions, and who the consultant of a standing is.

-- What case reviews recommended and what became of it, written with the fact that changed it. One row for each
-- recommendation of a review that stands.
CREATE TABLE recommendation (
  clinic_id     TEXT        NOT NULL,
  id            UUID        NOT NULL,
  patient_id    UUID        NOT NULL,
  episode_id    UUID        NOT NULL,
  state         TEXT        NOT NULL CHECK (state IN ('undecided', 'open', 'done', 'declined', 'closed', 'nothing_to_do')),
  addressee     TEXT        NOT NULL,
  waits_until   DATE        NOT NULL,             -- when it is due; of what is never due, when it was made
  body          JSONB       NOT NULL,             -- as the API shows it, with the scores before and after
  updated_at    TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, id)
);
CREATE INDEX recommendation_by_date ON recommendation (clinic_id, waits_until, id);
CREATE INDEX recommendation_by_patient ON recommendation (clinic_id, patient_id);

-- A weekly review of a consultant. It is nobody's story: a patient's part of it is the case review.
CREATE TABLE review_session (
  clinic_id     TEXT        NOT NULL,
  id            UUID        NOT NULL,
  held_on       DATE        NOT NULL,
  consultant    TEXT        NOT NULL,
  care_manager  TEXT,                             -- whose patients it is about; everybody's without one
  note          TEXT,
  opened_at     TIMESTAMPTZ NOT NULL,
  opened_by     TEXT        NOT NULL,
  closed_at     TIMESTAMPTZ,
  closed_by     TEXT,
  PRIMARY KEY (clinic_id, id)
);
CREATE INDEX review_session_by_date ON review_session (clinic_id, held_on, id);

-- Its agenda: the review queue as it was when the session was opened.
CREATE TABLE review_session_item (
  clinic_id        TEXT        NOT NULL,
  session_id       UUID        NOT NULL,
  position         INTEGER     NOT NULL,          -- 1 is discussed first
  episode_id       UUID        NOT NULL,
  body             JSONB       NOT NULL,          -- place, reasons, score
  deferred_because TEXT,                          -- said when the session was closed
  PRIMARY KEY (clinic_id, session_id, position)
);

-- The case reviews that were part of it, also of patients who were not on the agenda, also those taken back since.
CREATE TABLE review_session_review (
  clinic_id     TEXT        NOT NULL,
  session_id    UUID        NOT NULL,
  review_id     UUID        NOT NULL,
  episode_id    UUID        NOT NULL,
  PRIMARY KEY (clinic_id, session_id, review_id)
);

ALTER TABLE standing ADD COLUMN psychiatric_consultant TEXT;
UPDATE standing SET psychiatric_consultant = (
  SELECT e.psychiatric_consultant FROM episode e WHERE e.clinic_id = standing.clinic_id AND e.id = standing.episode_id);

-- Assessed safety answers, latest first.
CREATE INDEX delivery_assessed_safety ON delivery (clinic_id, created_at, id) WHERE code = 'safety-assessment' AND posture = 'fulfilled';

-- Recommendations ask for Tasks now, and open safety answers escalate: the next sweep looks at everybody concerned.
UPDATE patient SET reevaluate_on = '2000-01-01' WHERE merged_into IS NULL AND (has_care OR EXISTS (
  SELECT 1 FROM delivery d WHERE d.clinic_id = patient.clinic_id AND d.patient_id = patient.id
    AND d.code = 'safety-assessment' AND d.posture = 'open'));
