-- Months whose metrics were reported: what was said, under which thresholds, and every later restatement. Append only.
CREATE TABLE closed_month (
  clinic_id     TEXT        NOT NULL,
  month         DATE        NOT NULL,             -- its first day
  version       INTEGER     NOT NULL,             -- 1 is the closing, then each restatement
  rule_set      INTEGER     NOT NULL,             -- the version of the thresholds it was computed under
  body          TEXT        NOT NULL,             -- every figure, as JSON
  digest        TEXT        NOT NULL,             -- SHA-256 of the body
  reason        TEXT,                             -- of a restatement
  closed_at     TIMESTAMPTZ NOT NULL,             -- what was recorded later is late
  closed_by     TEXT        NOT NULL,
  PRIMARY KEY (clinic_id, month, version)
);

-- Which version of the thresholds was in force from when on: a version can be put in force more than once. Append only.
CREATE TABLE rule_activation (
  clinic_id     TEXT        NOT NULL,
  activated_at  TIMESTAMPTZ NOT NULL,
  version       INTEGER     NOT NULL,
  activated_by  TEXT,                             -- NULL: before this was kept
  PRIMARY KEY (clinic_id, activated_at)
);
INSERT INTO rule_activation (clinic_id, activated_at, version)
  SELECT clinic_id, activated_at, version FROM rule_set WHERE activated_at IS NOT NULL;
