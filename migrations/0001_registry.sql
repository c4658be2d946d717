-- The registry. One text for SQLite and PostgreSQL; `clinic_id` leads every key.
-- Dates are local dates of the clinic's time zone, instants are UTC.

-- A person in care. `seen` is false while only a reference to the person has arrived.
CREATE TABLE patient (
  clinic_id     TEXT        NOT NULL,
  id            UUID        NOT NULL,
  reference     TEXT        NOT NULL,             -- how the chart names the person: Patient/123
  seen          BOOLEAN     NOT NULL,
  display_name  TEXT,
  family        TEXT,
  birth_date    TEXT,                             -- as sent: a year, a month or a day
  gender        TEXT,
  language      TEXT,
  inactive      BOOLEAN     NOT NULL DEFAULT FALSE,
  deceased_on   DATE,
  merged_into   UUID,
  has_care      BOOLEAN     NOT NULL DEFAULT FALSE, -- has an episode or an entry of the care team
  reevaluate_on DATE,                             -- first date on which the plan changes by itself
  revision      BIGINT      NOT NULL,
  created_at    TIMESTAMPTZ NOT NULL,
  updated_at    TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, id)
);
CREATE INDEX patient_by_reevaluation ON patient (clinic_id, reevaluate_on) WHERE reevaluate_on IS NOT NULL;

-- Every name a person is known by: Patient/123, urn:uuid:…, system|value.
CREATE TABLE patient_key (
  clinic_id     TEXT        NOT NULL,
  key           TEXT        NOT NULL,
  patient_id    UUID        NOT NULL,
  PRIMARY KEY (clinic_id, key, patient_id)
);
CREATE INDEX patient_key_by_patient ON patient_key (clinic_id, patient_id);

-- The FHIR resources as they came. `version` is ours (the ETag); the sender's own is beside it.
CREATE TABLE resource (
  clinic_id      TEXT        NOT NULL,
  type           TEXT        NOT NULL,
  id             TEXT        NOT NULL,
  version        BIGINT      NOT NULL,
  source_version TEXT,
  source_updated TIMESTAMPTZ,
  patient_id     UUID,
  deleted        BOOLEAN     NOT NULL DEFAULT FALSE,
  updated_at     TIMESTAMPTZ NOT NULL,
  body           TEXT        NOT NULL,
  PRIMARY KEY (clinic_id, type, id)
);
CREATE INDEX resource_by_patient ON resource (clinic_id, patient_id, type);
CREATE INDEX resource_by_update ON resource (clinic_id, type, updated_at, id);

-- Business identifiers of those resources: system|value.
CREATE TABLE resource_identifier (
  clinic_id     TEXT        NOT NULL,
  type          TEXT        NOT NULL,
  token         TEXT        NOT NULL,
  id            TEXT        NOT NULL,
  PRIMARY KEY (clinic_id, type, token, id)
);

-- One taking of one instrument. `total` is NULL exactly when it cannot be scored; never 0 for "missing".
CREATE TABLE measurement (
  clinic_id     TEXT        NOT NULL,
  patient_id    UUID        NOT NULL,
  id            UUID        NOT NULL,
  instrument    TEXT        NOT NULL,
  taken_at      TIMESTAMPTZ NOT NULL,
  taken_on      DATE        NOT NULL,
  total         SMALLINT,
  quality       TEXT        NOT NULL CHECK (quality IN ('complete', 'prorated', 'total_only', 'unscorable')),
  item9         SMALLINT    CHECK (item9 BETWEEN 0 AND 3),
  item9_unknown BOOLEAN     NOT NULL,
  counting      TEXT        NOT NULL CHECK (counting IN ('submitted', 'partial', 'retracted')),
  source        TEXT        NOT NULL,             -- QuestionnaireResponse/123
  answers       JSONB       NOT NULL,
  issues        JSONB       NOT NULL,
  recorded_at   TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, patient_id, id),
  CHECK ((total IS NULL) = (quality = 'unscorable'))
);
CREATE INDEX measurement_by_source ON measurement (clinic_id, source);

-- Single items that arrived as Observations, until they are joined by their instant.
CREATE TABLE observation_item (
  clinic_id     TEXT        NOT NULL,
  patient_id    UUID        NOT NULL,
  source        TEXT        NOT NULL,
  instrument    TEXT        NOT NULL,
  taken_at      TIMESTAMPTZ NOT NULL,
  item          SMALLINT    NOT NULL,
  answer        SMALLINT,
  counting      TEXT        NOT NULL,
  PRIMARY KEY (clinic_id, patient_id, source)
);

-- One course of collaborative care. `phase` and the end are the planner's words, kept here for reading.
CREATE TABLE episode (
  clinic_id              TEXT        NOT NULL,
  id                     UUID        NOT NULL,
  patient_id             UUID        NOT NULL,
  phase                  TEXT        NOT NULL,
  enrolled_on            DATE,
  consent_on             DATE,
  primary_instrument     TEXT        NOT NULL,
  target_instruments     JSONB       NOT NULL,
  care_manager           TEXT,
  primary_care_provider  TEXT,
  psychiatric_consultant TEXT,
  discharged_on          DATE,
  discharge_reason       TEXT,
  revision               BIGINT      NOT NULL,
  created_at             TIMESTAMPTZ NOT NULL,
  created_by             TEXT        NOT NULL,
  updated_at             TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, id)
);
CREATE INDEX episode_by_patient ON episode (clinic_id, patient_id);

-- Everything that went through the hallway and changed a story, in order of arrival. Append only.
CREATE TABLE fact (
  clinic_id     TEXT        NOT NULL,
  patient_id    UUID        NOT NULL,
  id            UUID        NOT NULL,
  episode_id    UUID,
  kind          TEXT        NOT NULL,             -- contact, case_review, measurement, patient, …
  is_care       BOOLEAN     NOT NULL,             -- entered by the care team: part of the planner's story
  happened_on   DATE        NOT NULL,
  happened_at   TIMESTAMPTZ NOT NULL,
  outcome       TEXT,
  minutes       SMALLINT,
  body          JSONB       NOT NULL,
  changes       JSONB       NOT NULL,             -- what it changed in the plan
  recorded_at   TIMESTAMPTZ NOT NULL,
  recorded_by   TEXT        NOT NULL,
  PRIMARY KEY (clinic_id, patient_id, id)
);
CREATE INDEX fact_by_episode ON fact (clinic_id, episode_id, happened_on) WHERE episode_id IS NOT NULL;
CREATE INDEX fact_case_review ON fact (clinic_id) WHERE kind = 'case_review';

-- The standing of each episode, written with the fact that changed it: the caseload page reads only this.
CREATE TABLE standing (
  clinic_id          TEXT        NOT NULL,
  episode_id         UUID        NOT NULL,
  patient_id         UUID        NOT NULL,
  status             TEXT        NOT NULL,
  display_name       TEXT        NOT NULL,
  care_manager       TEXT,
  enrolled_on        DATE,
  primary_instrument TEXT        NOT NULL,
  baseline_score     SMALLINT,
  latest_score       SMALLINT,
  latest_on          DATE,
  at_target          BOOLEAN     NOT NULL,
  open_safety        BOOLEAN     NOT NULL,
  attention          SMALLINT    NOT NULL,        -- place in the review queue's order; 99 when nothing is due
  waiting_since      DATE        NOT NULL,
  findings           TEXT        NOT NULL,        -- ,nonresponse,contact_overdue,
  rule_set           TEXT        NOT NULL,
  as_of              DATE        NOT NULL,
  reevaluate_on      DATE,
  body               JSONB       NOT NULL,        -- the whole standing as the API shows it
  updated_at         TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, episode_id)
);
CREATE INDEX standing_by_attention ON standing (clinic_id, attention, waiting_since, (-COALESCE(latest_score, -1)), episode_id);
CREATE INDEX standing_by_name ON standing (clinic_id, display_name, episode_id);
CREATE INDEX standing_by_patient ON standing (clinic_id, patient_id);

-- The ledger of the chart: what should stand there, and what we know to stand there. One row per cause.
CREATE TABLE delivery (
  clinic_id        TEXT        NOT NULL,
  patient_id       UUID        NOT NULL,
  key              TEXT        NOT NULL,
  id               UUID        NOT NULL,
  identifier       TEXT        NOT NULL,          -- identifier.value in the chart: stays, also through a merge
  resource         TEXT        NOT NULL CHECK (resource IN ('Task', 'Flag')),
  code             TEXT        NOT NULL,
  priority         TEXT        NOT NULL,
  posture          TEXT        NOT NULL,
  intent           JSONB       NOT NULL,
  digest           TEXT        NOT NULL,
  revision         BIGINT      NOT NULL,          -- of the intent
  settled_revision BIGINT      NOT NULL,          -- the chart agrees with this one
  settled_posture  TEXT,
  state            TEXT        NOT NULL CHECK (state IN ('pending', 'settled', 'parked', 'closed_in_chart')),
  attempts         INTEGER     NOT NULL,
  outcome_unknown  BOOLEAN     NOT NULL,          -- an answer was lost, and none has come since
  unanswered       TEXT        NOT NULL DEFAULT '', -- the postures that were sent without an answer: open,withdrawn
  next_attempt_at  TIMESTAMPTZ NOT NULL,
  chart_id         TEXT,
  rung             TEXT,
  last_error       TEXT,
  created_at       TIMESTAMPTZ NOT NULL,
  updated_at       TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, patient_id, key)
);
CREATE UNIQUE INDEX delivery_by_id ON delivery (clinic_id, id);
CREATE UNIQUE INDEX delivery_by_identifier ON delivery (clinic_id, identifier);
CREATE INDEX delivery_open_safety ON delivery (clinic_id, created_at, id) WHERE code = 'safety-assessment' AND posture = 'open';

-- Every attempt to write into the chart.
CREATE TABLE delivery_attempt (
  clinic_id     TEXT        NOT NULL,
  delivery_id   UUID        NOT NULL,
  id            UUID        NOT NULL,
  at            TIMESTAMPTZ NOT NULL,
  revision      BIGINT      NOT NULL,
  outcome       TEXT        NOT NULL,
  http_status   SMALLINT,
  detail        TEXT,
  milliseconds  INTEGER     NOT NULL,
  PRIMARY KEY (clinic_id, delivery_id, id)
);

-- One lane per patient with something to deliver: whoever holds its lease writes, nobody else.
CREATE TABLE lane (
  clinic_id     TEXT        NOT NULL,
  patient_id    UUID        NOT NULL,
  due_at        TIMESTAMPTZ NOT NULL,
  wanted        BIGINT      NOT NULL,
  lease_token   UUID,
  lease_until   TIMESTAMPTZ,
  PRIMARY KEY (clinic_id, patient_id)
);
CREATE INDEX lane_by_due ON lane (clinic_id, due_at);

-- What arrived in good faith and cannot be used yet.
CREATE TABLE quarantine (
  clinic_id     TEXT        NOT NULL,
  id            UUID        NOT NULL,
  type          TEXT        NOT NULL,
  resource_id   TEXT        NOT NULL,
  patient_id    UUID,
  code          TEXT        NOT NULL,
  detail        TEXT        NOT NULL,
  received_at   TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, id)
);
CREATE INDEX quarantine_by_patient ON quarantine (clinic_id, patient_id);

-- Versions of the clinical thresholds.
CREATE TABLE rule_set (
  clinic_id     TEXT        NOT NULL,
  version       INTEGER     NOT NULL,
  body          JSONB       NOT NULL,
  created_at    TIMESTAMPTZ NOT NULL,
  created_by    TEXT        NOT NULL,
  activated_at  TIMESTAMPTZ,
  PRIMARY KEY (clinic_id, version)
);

-- Answers to requests that carried an Idempotency-Key.
CREATE TABLE idempotency (
  clinic_id     TEXT        NOT NULL,
  key           TEXT        NOT NULL,
  request       TEXT        NOT NULL,
  status        SMALLINT    NOT NULL,
  body          TEXT        NOT NULL,
  created_at    TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Full-time equivalents of care managers, attested by month.
CREATE TABLE staffing (
  clinic_id        TEXT             NOT NULL,
  month            DATE             NOT NULL,  -- its first day
  care_manager_fte DOUBLE PRECISION NOT NULL,
  recorded_at      TIMESTAMPTZ      NOT NULL,
  recorded_by      TEXT             NOT NULL,
  PRIMARY KEY (clinic_id, month)
);

-- For reading: the care team's entries by kind.
CREATE VIEW contact AS
  SELECT clinic_id, patient_id, episode_id, id, happened_on, happened_at, outcome, minutes, body, recorded_at, recorded_by
  FROM fact WHERE kind = 'contact';
CREATE VIEW treatment_change AS
  SELECT clinic_id, patient_id, episode_id, id, happened_on, body, recorded_at, recorded_by
  FROM fact WHERE kind = 'treatment_change';
CREATE VIEW case_review AS
  SELECT clinic_id, patient_id, episode_id, id, happened_on, minutes, body, recorded_at, recorded_by
  FROM fact WHERE kind = 'case_review';
CREATE VIEW safety_assessment AS
  SELECT clinic_id, patient_id, id, happened_on, happened_at, body, recorded_at, recorded_by
  FROM fact WHERE kind = 'safety_assessment';
