-- The Questionnaires that a clinic's EHR was asked for, once each: forms name them, and do not say what they ask.
CREATE TABLE questionnaire (
  clinic_id TEXT        NOT NULL,
  canonical TEXT        NOT NULL,      -- without its version
  body      TEXT,                      -- NULL: the EHR does not have it
  asked_at  TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, canonical)
);
