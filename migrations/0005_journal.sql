-- The journal: what was changed and what was read, by whom. Rows are added, get their place once, and never change again.

CREATE TABLE journal (
  clinic_id     TEXT        NOT NULL,
  id            UUID        NOT NULL,             -- of the fact it attests, where it attests one
  seq           BIGINT,                           -- its place in the chain, from 1 without a gap; NULL until sealed
  at            TIMESTAMPTZ NOT NULL,
  is_change     BOOLEAN     NOT NULL,             -- something changed: told to whoever listens; else something was read
  patient_id    UUID,                             -- whom it is about, where that is one patient
  is_list       BOOLEAN     NOT NULL,             -- it is about several patients: the entry names them
  entry         TEXT        NOT NULL,             -- the whole entry as JSON: these bytes are hashed
  hash          TEXT,                             -- of the hash before, the place and the entry; NULL until sealed
  PRIMARY KEY (clinic_id, id)
);
CREATE UNIQUE INDEX journal_by_seq ON journal (clinic_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX journal_unsealed ON journal (clinic_id, id) WHERE seq IS NULL;
CREATE INDEX journal_by_patient ON journal (clinic_id, patient_id, seq) WHERE patient_id IS NOT NULL AND seq IS NOT NULL;
CREATE INDEX journal_lists ON journal (clinic_id, seq) WHERE is_list AND seq IS NOT NULL;

-- The end of each clinic's chain. Whoever seals holds its row.
CREATE TABLE journal_head (
  clinic_id     TEXT        NOT NULL,
  seq           BIGINT      NOT NULL,             -- of the last sealed entry; 0 before the first
  hash          TEXT        NOT NULL,             -- of the last sealed entry; empty before the first
  facts_before  BIGINT      NOT NULL,             -- facts older than the journal; part of the first entry's hash
  PRIMARY KEY (clinic_id)
);
INSERT INTO journal_head (clinic_id, seq, hash, facts_before)
  SELECT clinic_id, 0, '', COUNT(*) FROM fact GROUP BY clinic_id;

-- How far each configured webhook has been told. `seq` and `part` name the last event that has a row in webhook_delivery,
-- or that the endpoint did not ask for.
CREATE TABLE webhook (
  clinic_id     TEXT        NOT NULL,
  name          TEXT        NOT NULL,
  seq           BIGINT      NOT NULL,
  part          INTEGER     NOT NULL,
  disabled      TEXT,                             -- why nothing is sent any more, until somebody sends a delivery again
  lease_token   UUID,
  lease_until   TIMESTAMPTZ,
  created_at    TIMESTAMPTZ NOT NULL,
  updated_at    TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, name)
);

-- The events that were sent to a webhook, or are being tried.
CREATE TABLE webhook_delivery (
  clinic_id       TEXT        NOT NULL,
  id              UUID        NOT NULL,           -- follows from what it tells: the webhook-id is the same at every try
  webhook         TEXT        NOT NULL,
  seq             BIGINT      NOT NULL,
  part            INTEGER     NOT NULL,
  type            TEXT        NOT NULL,
  body            TEXT        NOT NULL,
  state           TEXT        NOT NULL CHECK (state IN ('pending', 'delivered', 'parked')),
  attempts        INTEGER     NOT NULL,
  next_attempt_at TIMESTAMPTZ NOT NULL,
  last_error      TEXT,
  created_at      TIMESTAMPTZ NOT NULL,
  updated_at      TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (clinic_id, id)
);
CREATE INDEX webhook_delivery_pending ON webhook_delivery (clinic_id, webhook, seq, part) WHERE state = 'pending';

-- Every attempt to tell a webhook.
CREATE TABLE webhook_attempt (
  clinic_id     TEXT        NOT NULL,
  delivery_id   UUID        NOT NULL,
  id            UUID        NOT NULL,
  at            TIMESTAMPTZ NOT NULL,
  outcome       TEXT        NOT NULL,
  http_status   SMALLINT,
  detail        TEXT,
  milliseconds  INTEGER     NOT NULL,
  PRIMARY KEY (clinic_id, delivery_id, id)
);
