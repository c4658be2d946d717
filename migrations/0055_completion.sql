-- What a person said of a resource that does not say it itself: whose it is, when it was taken. The resource stays as it
-- came; what was said holds for its later versions too, as long as they do not say it themselves.
CREATE TABLE completion (
  clinic_id    TEXT        NOT NULL,
  type         TEXT        NOT NULL,
  resource_id  TEXT        NOT NULL,
  patient_id   UUID,
  taken_at     TIMESTAMPTZ,
  taken_on     DATE,
  completed_at TIMESTAMPTZ NOT NULL,
  completed_by TEXT        NOT NULL,
  PRIMARY KEY (clinic_id, type, resource_id)
);
