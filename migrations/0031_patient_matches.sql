-- Records that are perhaps one person: found by the machine, joined or kept apart by somebody.
CREATE TABLE patient_match (
  clinic_id       TEXT        NOT NULL,
  id              UUID        NOT NULL,             -- follows from the two records
  one_id          UUID        NOT NULL,
  other_id        UUID        NOT NULL,
  reasons         JSONB       NOT NULL,
  state           TEXT        NOT NULL CHECK (state IN ('open', 'joined', 'kept_apart')),
  found_at        TIMESTAMPTZ NOT NULL,
  decided_at      TIMESTAMPTZ,
  decided_by      TEXT,
  decision_reason TEXT,
  PRIMARY KEY (clinic_id, id)
);
CREATE INDEX patient_match_by_state ON patient_match (clinic_id, state, found_at, id);
CREATE INDEX patient_match_by_one ON patient_match (clinic_id, one_id);
CREATE INDEX patient_match_by_other ON patient_match (clinic_id, other_id);

-- Who was born on the same day.
CREATE INDEX patient_by_birth_date ON patient (clinic_id, birth_date) WHERE birth_date IS NOT NULL;
